"""What requests of the typed API mean, and by which field they are refused."""

from typing import Any

import pytest

from llm_inference.v1 import inference_pb2, models_pb2, tools_pb2
from llm_inference_api.api.native.messages import logprobs, model_message, progress, usage
from llm_inference_api.api.native.reading import read_chat, read_generate
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.events import Progress, Stage, TokenLogprob, TopLogprob, Usage
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.model_status import LoadProgress, ModelStatus, State
from llm_inference_api.requests.request import MAX_SEED, Sampling, Stopping
from llm_inference_api.requests.thinking import Thinking
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolCall, ToolMode, ToolUse
from tests.fakes.model import INFO

LIMITS = Limits(temperature=0.7, top_p=0.9, max_tokens=100, answers=4)
USER = inference_pb2.ChatMessage(role="user", content="hi")
LISTED = tools_pb2.ToolCall(id="1", name="f", arguments="[]")
CALL = tools_pb2.ToolCall(id="1", name="f", arguments='{"a": 1}')


def generate(**fields: Any) -> inference_pb2.GenerateRequest:
    return inference_pb2.GenerateRequest(**{"prompt": "hi", **fields})


def chat(**fields: Any) -> inference_pb2.ChatRequest:
    return inference_pb2.ChatRequest(**{"messages": [USER], **fields})


def deep(levels: int) -> str:
    return '{"a": ' * levels + "1" + "}" * levels


def test_fields_that_are_left_out_have_the_services_defaults() -> None:
    """The seed is drawn anew for each request; all else is as the settings say."""
    request = read_generate(generate(), LIMITS)
    assert request.sampling == Sampling(request.sampling.seed, temperature=0.7, top_p=0.9)
    assert 0 <= request.sampling.seed <= MAX_SEED
    assert request.stopping == Stopping()
    assert (request.prompt, request.model, request.n, request.constraint, request.tools) == ("hi", "", 1, None, None)


def test_fields_that_are_given_are_taken_over() -> None:
    """Zero is a value where a field has presence."""
    fields = {
        "model": "m",
        "max_tokens": 7,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "min_p": 0.25,
        "typical_p": 0.75,
        "seed": 0,
        "stop": ["a", "b"],
        "presence_penalty": -1.0,
        "frequency_penalty": 1.5,
        "repetition_penalty": 1.25,
        "logit_bias": {5: -100.0},
        "logprobs": True,
        "top_logprobs": 2,
        "n": 3,
    }
    for request in (read_generate(generate(**fields), LIMITS), read_chat(chat(**fields), LIMITS)):
        assert request.sampling == Sampling(0, 0.0, 0.5, 3, 0.25, 0.75, -1.0, 1.5, 1.25, {5: -100.0}, 2)
        assert request.stopping == Stopping(7, ("a", "b"))
        assert (request.model, request.n) == ("m", 3)


def test_further_samplers_are_taken_over() -> None:
    """By the names of the fields; what turns a sampler off may stand beside mirostat."""
    fields = {
        "top_n_sigma": 1.5,
        "min_keep": 2,
        "xtc_probability": 0.5,
        "xtc_threshold": 0.25,
        "dynatemp_range": 0.5,
        "dynatemp_exponent": 2.0,
        "dry_multiplier": 0.75,
        "dry_base": 2.0,
        "dry_allowed_length": 3,
        "dry_penalty_last_n": -1,
        "mirostat_tau": 4.0,
        "mirostat_eta": 0.25,
    }
    sampling = read_generate(generate(**fields, dry_sequence_breakers=["a"]), LIMITS).sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert sampling.dry_sequence_breakers == ("a",)
    assert read_generate(generate(mirostat=2, top_p=1.0, top_k=0, top_n_sigma=-1.0), LIMITS).sampling.mirostat == 2


def test_logprobs_alone_list_no_other_tokens() -> None:
    """Without top_logprobs there is the chosen token's; with logprobs false there is none."""
    assert read_generate(generate(logprobs=True), LIMITS).sampling.logprobs == 0
    assert read_generate(generate(logprobs=False), LIMITS).sampling.logprobs is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": 2**31}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"typical_p": 1.1}, "typical_p"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"frequency_penalty": -2.5}, "frequency_penalty"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"top_n_sigma": -1.5}, "top_n_sigma"),
        ({"min_keep": 2**31}, "min_keep"),
        ({"xtc_probability": 1.1}, "xtc_probability"),
        ({"xtc_threshold": -0.1}, "xtc_threshold"),
        ({"dynatemp_range": 2.1}, "dynatemp_range"),
        ({"dynatemp_exponent": -1.0}, "dynatemp_exponent"),
        ({"dry_multiplier": 101.0}, "dry_multiplier"),
        ({"dry_base": 0.9}, "dry_base"),
        ({"dry_allowed_length": 2**31}, "dry_allowed_length"),
        ({"dry_penalty_last_n": -2}, "dry_penalty_last_n"),
        ({"dry_sequence_breakers": ["a"] * 9}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": ["a", ""]}, "dry_sequence_breakers[1]"),
        ({"dry_sequence_breakers": ["ä" * 21]}, "dry_sequence_breakers[0]"),
        ({"dry_sequence_breakers": ["a\0"]}, "dry_sequence_breakers[0]"),
        ({"mirostat": 3}, "mirostat"),
        ({"mirostat_tau": -1.0}, "mirostat_tau"),
        ({"mirostat_eta": 1.1}, "mirostat_eta"),
        ({"mirostat": 2, "top_p": 0.9}, "top_p"),
        ({"mirostat": 1, "xtc_probability": 0.5}, "xtc_probability"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logit_bias": dict.fromkeys(range(301), 1.0)}, "logit_bias"),
        ({"logit_bias": {1: 100.5}}, "logit_bias[1]"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": ["a" * 65]}, "stop[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        (
            {"logit_bias": dict.fromkeys(range(200), 1.0), "logit_bias_texts": {str(x): 1 for x in range(200)}},
            "logit_bias",
        ),
        ({"logit_bias_texts": {"a": 101}}, "logit_bias_texts[a]"),
        ({"logit_bias_texts": {"": 1}}, "logit_bias_texts"),
        ({"n": 0}, "n"),
        ({"n": 5}, "n"),
        ({"json_schema": "{"}, "json_schema"),
        ({"json_schema": "[]"}, "json_schema"),
        ({"json_schema": deep(65)}, "json_schema"),
        ({"json_schema": deep(10_000)}, "json_schema"),
        ({"json_schema": deep(100_000)}, "json_schema"),
        ({"regex": "a" * 65_537}, "regex"),
        ({"choice": {}}, "choice"),
        ({"choice": {"texts": ["a", ""]}}, "choice"),
        ({"regex": "a", "ignore_eos": True}, "ignore_eos"),
    ],
)
def test_value_that_cannot_be_honoured_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    """Generate and Chat refuse the same."""
    for read in (lambda: read_generate(generate(**fields), LIMITS), lambda: read_chat(chat(**fields), LIMITS)):
        with pytest.raises(InvalidFieldError) as found:
            read()
        assert found.value.field == field


def test_size_is_looked_at_before_the_schema_is_parsed() -> None:
    """It is no JSON either, which takes longer to find out."""
    with pytest.raises(InvalidFieldError, match="has more than 65536 bytes"):
        read_generate(generate(json_schema="[" * 65_537), LIMITS)


@pytest.mark.parametrize("field", ["top_p", "typical_p"])
def test_probability_mass_of_zero_is_one_token(field: str) -> None:
    """The ends of a range belong to it where they mean something."""
    assert getattr(read_generate(generate(**{field: 0.0}), LIMITS).sampling, field) == 0.0


def test_max_tokens_above_the_services_limit_are_lowered_to_it() -> None:
    """Also 2^32 - 1, which is no limit in a number without a sign."""
    for asked in (101, 2**32 - 1):
        assert read_generate(generate(max_tokens=asked), LIMITS).stopping.max_tokens == 100


def test_seed_of_all_ones_is_a_random_one() -> None:
    """It is -1 without a sign, which other servers take for no seed."""
    assert len({read_generate(generate(seed=2**32 - 1), LIMITS).sampling.seed for _ in range(3)}) > 1


def test_wishes_of_times_and_progress_are_taken_over() -> None:
    """Neither is done unasked."""
    wishes = [
        (asked.wants_times, asked.wants_progress)
        for asked in (
            read_generate(generate(timings=True), LIMITS),
            read_chat(chat(return_progress=True), LIMITS),
            read_chat(chat(), LIMITS),
        )
    ]
    assert wishes == [(True, False), (False, True), (False, False)]


def test_prompt_may_be_empty_before_a_suffix() -> None:
    """At the start of a file there is no text before the cursor."""
    request = read_generate(generate(prompt="", suffix="b"), LIMITS)
    assert (request.prompt, request.suffix) == ("", "b")
    with pytest.raises(InvalidFieldError, match=r"^suffix: has 1048577 bytes"):
        read_generate(generate(suffix="x" * ((1 << 20) + 1)), LIMITS)


@pytest.mark.parametrize("prompt", ["", "x" * ((1 << 20) + 1)], ids=["empty", "too long"])
def test_prompt_must_have_a_text_of_bounded_size(prompt: str) -> None:
    """None at all, and more than 1 MiB."""
    with pytest.raises(InvalidFieldError, match=r"^prompt: "):
        read_generate(generate(prompt=prompt), LIMITS)


@pytest.mark.parametrize(
    ("fields", "language", "source"),
    [
        ({"json_schema": "{}"}, Language.JSON_SCHEMA, "{}"),
        ({"json_object": True}, Language.JSON_SCHEMA, '{"type": "object"}'),
        ({"regex": "a+"}, Language.REGEX, "a+"),
        ({"choice": {"texts": ["a", "ü"]}}, Language.CHOICE, '["a", "\\u00fc"]'),
        ({"lark": "start: /a/"}, Language.LARK, "start: /a/"),
    ],
)
def test_each_kind_of_constraint_is_read(fields: dict[str, Any], language: Language, source: str) -> None:
    """With the name of the field that asks for it."""
    (field,) = fields
    assert read_generate(generate(**fields), LIMITS).constraint == Constraint(language, source, field)


def test_json_object_of_false_restricts_nothing() -> None:
    """Nor does it contradict ignore_eos."""
    assert read_generate(generate(json_object=False, ignore_eos=True), LIMITS).constraint is None


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "messages"),
        ([USER] * 1025, "messages"),
        ([{"role": "king"}] * 1025, "messages"),
        (
            [USER, {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "["}] * 1025}],
            "messages[1].tool_calls",
        ),
        ([{"role": "king", "content": "x" * (1 << 20)}], "messages"),
        ([{"role": "user", "content": "x" * (1 << 20)}], "messages"),
        ([{"role": "king", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": "x", "reasoning_content": "hm"}], "messages[0].reasoning_content"),
        ([{"role": "user", "content": "x", "tool_calls": [CALL]}], "messages[0].tool_calls"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id"),
        ([{"role": "user", "content": "x", "tool_call_id": "1"}], "messages[0].tool_call_id"),
        ([USER, {"role": "assistant", "tool_calls": [CALL]}], "messages"),
        (
            [{"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[]"}]}, USER],
            "messages[0].tool_calls[0].arguments",
        ),
    ],
)
def test_messages_that_are_no_chat_are_refused_by_field(messages: list[Any], field: str) -> None:
    """Each problem with the place where it stands."""
    with pytest.raises(InvalidFieldError) as found:
        read_chat(chat(messages=messages), LIMITS)
    assert found.value.field == field


def test_messages_are_read_with_calls_results_and_names() -> None:
    """Empty arguments are those of a call without any."""
    wire = [
        USER,
        {"role": "assistant", "tool_calls": [CALL, {"id": "2", "name": "g"}]},
        {"role": "tool", "content": "r", "tool_call_id": "1", "name": "f"},
    ]
    assert read_chat(chat(messages=wire), LIMITS).prompt == (
        Message("user", "hi"),
        Message("assistant", "", (ToolCall("1", "f", '{"a": 1}'), ToolCall("2", "g", "{}"))),
        Message("tool", "r", (), "1", "f"),
    )


F, G = {"name": "f"}, {"name": "g", "description": "d", "parameters": '{"type": "object"}', "strict": True}
TOOLS = (Tool("f", "", NO_ARGUMENTS), Tool("g", "d", '{"type": "object"}', strict=True))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ToolUse(TOOLS)),
        ({"tool_choice": {"mode": "AUTO"}}, ToolUse(TOOLS)),
        ({"tool_choice": {"mode": "NONE"}}, None),
        ({"tool_choice": {"mode": "REQUIRED"}}, ToolUse(TOOLS, ToolMode.REQUIRED)),
        ({"tool_choice": {"function": "g"}}, ToolUse(TOOLS, ToolMode.REQUIRED, "g")),
        ({"parallel_tool_calls": False}, ToolUse(TOOLS, parallel=False)),
        ({"parallel_tool_calls": True}, ToolUse(TOOLS)),
    ],
)
def test_tools_are_read_with_their_choice(fields: dict[str, Any], expected: ToolUse | None) -> None:
    """A tool without parameters takes none."""
    assert read_chat(chat(tools=[F, G], **fields), LIMITS).tools == expected


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tool_choice": {}}, "tool_choice"),
        ({"tools": [F], "tool_choice": {"mode": 99}}, "tool_choice.mode"),
        ({"parallel_tool_calls": True}, "parallel_tool_calls"),
        ({"tools": [F, F]}, "tools"),
        ({"tools": [{"name": f"f{index}"} for index in range(129)]}, "tools"),
        ({"tools": [{"name": "a b"}] * 129}, "tools"),
        ({"tools": [{"name": f"f{index}", "parameters": "[" * 60_000} for index in range(20)]}, "tools"),
        ({"tools": [{"name": "f", "parameters": "[" * 65_537}]}, "tools[0]"),
        ({"tools": [{"name": "a b"}]}, "tools[0].name"),
        ({"tools": [F, {"name": "g", "parameters": "1"}]}, "tools[1].parameters"),
        ({"tools": [{"name": "f", "description": "x" * 65_536}]}, "tools[0]"),
        ({"tools": [F], "tool_choice": {"function": "h"}}, "tool_choice"),
        ({"tools": [F], "ignore_eos": True}, "ignore_eos"),
    ],
)
def test_tools_that_cannot_be_called_are_refused_by_field(fields: dict[str, Any], field: str) -> None:
    """And what is said of tools where there are none."""
    with pytest.raises(InvalidFieldError) as found:
        read_chat(chat(**fields), LIMITS)
    assert found.value.field == field


@pytest.mark.parametrize(
    ("stands", "fields"),
    [
        (Progress(Stage.LOADING), {"stage": "LOADING"}),
        (Progress(Stage.QUEUED, 3), {"stage": "QUEUED", "requests_ahead": 3}),
        (
            Progress(Stage.PREFILL, 0, 10, 4, 3, 0.5),
            {"stage": "PREFILL", "prompt_tokens": 10, "computed_tokens": 4, "cached_tokens": 3, "elapsed_ms": 500.0},
        ),
        (
            Progress(Stage.DECODE),
            {"stage": "PREFILL", "prompt_tokens": 0, "computed_tokens": 0, "cached_tokens": 0, "elapsed_ms": 0.0},
        ),
    ],
)
def test_progress_says_what_belongs_to_its_stage(stands: Progress, fields: dict[str, Any]) -> None:
    """Callers know no stage behind the prompt's: then there is text."""
    assert progress(stands) == type(progress(stands))(**fields)


def test_usage_adds_up() -> None:
    """The total is the prompt's and the answer's tokens."""
    message = usage(Usage(10, 5, 3, reasoning_tokens=2))
    assert (message.prompt_tokens, message.completion_tokens, message.total_tokens) == (10, 5, 15)
    assert (message.cached_tokens, message.reasoning_tokens) == (3, 2)


def test_logprobs_have_texts_and_bytes() -> None:
    """A token of half a character has U+FFFD for its text; no tokens are no message."""
    message = logprobs((TokenLogprob(1, b"\xc3", -0.5, (TopLogprob(2, b"b", -0.25),)),))
    assert message is not None
    (entry,) = message.tokens
    assert (entry.token_id, entry.token, entry.token_bytes, entry.logprob) == (1, "\ufffd", b"\xc3", -0.5)
    assert [(top.token_id, top.token, top.logprob) for top in entry.top_logprobs] == [(2, "b", -0.25)]
    assert logprobs(()) is None


def test_model_says_what_is_known_of_it() -> None:
    """Progress while it passes, and its figures once it is loaded."""
    loading = model_message(ModelStatus("m", "m.gguf", State.LOADING, progress=LoadProgress(0.5, 1.0, "FRACTION")))
    assert (loading.id, loading.reference, loading.state) == ("m", "m.gguf", models_pb2.Model.State.LOADING)
    assert loading.progress.done == 0.5
    assert not loading.HasField("info")
    active = model_message(ModelStatus("m", "m.gguf", State.ACTIVE, info=INFO, memory=7))
    assert (active.info.context_length, active.info.memory_bytes) == (100, 7)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({}, Ending.CONTINUE),
        ({"continue_final_message": True}, Ending.CONTINUE),
        ({"continue_final_message": True, "add_generation_prompt": False}, Ending.CONTINUE),
        ({"add_generation_prompt": True}, Ending.ANSWER),
        ({"continue_final_message": False}, Ending.ANSWER),
        ({"continue_final_message": False, "add_generation_prompt": False}, Ending.CLOSED),
        ({"add_generation_prompt": False}, Ending.CLOSED),
    ],
)
def test_caller_says_how_the_prompt_ends(fields: dict[str, bool], end: Ending) -> None:
    """What is not set depends on whose the last message is."""
    said = inference_pb2.ChatMessage(role="assistant", content="ho")
    assert read_chat(chat(messages=[USER, said], **fields), LIMITS).ending is end
    assert read_chat(chat(), LIMITS).ending is Ending.ANSWER


@pytest.mark.parametrize("fields", [{}, {"add_generation_prompt": True}])
def test_only_an_assistants_message_is_continued_and_not_answered(fields: dict[str, bool]) -> None:
    """The refusal names the field that cannot be honoured."""
    with pytest.raises(InvalidFieldError, match=r"continue_final_message: (needs a last message|cannot be combined)"):
        read_chat(chat(continue_final_message=True, **fields), LIMITS)


def test_thoughts_of_an_earlier_answer_are_kept() -> None:
    """The template may render them."""
    said = inference_pb2.ChatMessage(role="assistant", content="ho", reasoning_content="hm")
    assert read_chat(chat(messages=[USER, said, USER]), LIMITS).prompt[1] == Message("assistant", "ho", reasoning="hm")


def test_variables_of_the_template_are_plain_values() -> None:
    """Numbers of a Struct are floats; those without a fraction are integers, as JSON has them."""
    wire = chat()
    given = {"text": "x", "whole": 3, "half": 0.5, "yes": True, "nothing": None, "list": [1, {"a": "b"}]}
    wire.chat_template_kwargs.update(given)
    found = read_chat(wire, LIMITS).thinking.variables
    assert found == given
    assert isinstance(found["whole"], int)


def test_thinking_that_is_not_said_is_left_to_the_template() -> None:
    """Fields with presence tell false and 0 from nothing."""
    wire = chat()
    assert read_chat(wire, LIMITS).thinking == Thinking()
    wire.thinking, wire.thinking_budget = False, 0
    assert read_chat(wire, LIMITS).thinking == Thinking(enabled=False, budget=0)
