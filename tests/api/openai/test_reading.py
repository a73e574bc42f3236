import json
import time
from dataclasses import replace
from typing import Any

import pytest

from llm_inference_api.api.openai.params import ChatCompletionParams, CompletionParams, EmbeddingParams, parse
from llm_inference_api.api.openai.reading import read_chat, read_completion
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest, TokenPrompt

SAID = [{"role": "user", "content": "hi"}]
DEEP: dict[str, Any] = {}
for _ in range(70):
    DEEP = {"items": DEEP}
LIMITS = Limits(temperature=0.7, top_p=0.9, max_tokens=4096, answers=10)


def chat(**fields: Any) -> ChatCompletionParams:
    return parse(ChatCompletionParams, json.dumps({"messages": SAID, **fields}).encode())


def asked(params: ChatCompletionParams) -> GenerationRequest:
    """Returns what is asked, without what is another for each request."""
    request = read_chat(params, LIMITS)
    sampling = replace(request.sampling, seed=0) if params.seed is None else request.sampling
    return replace(request, id="", created=0, sampling=sampling)


@pytest.mark.parametrize(
    "field",
    ["user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "verbosity", "prediction"],
)
def test_fields_that_mean_nothing_here_are_accepted(field: str) -> None:
    """What concerns OpenAI's own business changes no answer and is no error."""
    assert asked(chat(**{field: {"a": 1}})) == asked(chat())


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"temperature": "1"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"modalities": ["audio"]}, "modalities[0]"),
        ({"audio": {}}, "audio"),
        ({"reasoning_effort": 1}, "reasoning_effort"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "y": 1}]}]}, "messages[0].content"),
        ({"tools": [{"type": "function", "function": {"name": 1}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"stream": 1}, "stream"),
    ],
)
def test_wrong_type_is_refused_with_its_path(fields: dict[str, Any], path: str) -> None:
    """Nothing is converted silently: the caller reads where the value stands that is of no use."""
    with pytest.raises(InvalidFieldError) as found:
        chat(**fields)
    assert found.value.field == path


def test_error_repeats_no_long_value() -> None:
    """A wrong value is shown, but not a megabyte of it."""
    with pytest.raises(InvalidFieldError) as found:
        chat(temperature="x" * 10_000)
    assert len(str(found.value)) < 300


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"messages": [1] * 1000}, "messages[0]"),
        ({"messages": [1] * 100_000}, "messages"),
        ({"messages": [{"role": "assistant", "tool_calls": [1] * 1000}]}, "messages[0].tool_calls[0]"),
        ({"messages": [{"role": "assistant", "tool_calls": [1] * 30_000}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": [1] * 100_000}]}, "messages[0].content"),
        ({"messages": [{"role": "user", **{f"a{index}": 1 for index in range(30_000)}}]}, "messages[0].a0"),
        ({"stop": [1] * 100_000}, "stop"),
        ({"tools": [1] * 100_000}, "tools"),
        ({"tools": [1] * 100}, "tools[0]"),
        ({"modalities": [1] * 100_000}, "modalities[0]"),
        ({"logit_bias": {str(index): "x" for index in range(30_000)}}, "logit_bias"),
        ({f"a{index}": 1 for index in range(30_000)}, "a0"),
        ({"stream_options": {f"a{index}": 1 for index in range(30_000)}}, "stream_options.a0"),
        ({"temperature": [1] * 100_000}, "temperature"),
        ({"temperature": {f"a{index}": 1 for index in range(30_000)}}, "temperature"),
    ],
)
def test_reading_ends_at_the_first_error(fields: dict[str, Any], path: str) -> None:
    """Counts come before contents, and one error is made: to make one for each item takes a second here."""
    body = json.dumps({"messages": SAID, **fields}).encode()
    started = time.process_time()
    with pytest.raises(InvalidFieldError) as found:
        parse(ChatCompletionParams, body)
    assert time.process_time() - started < 0.2
    assert found.value.field == path
    assert len(str(found.value)) < 400


@pytest.mark.parametrize(
    ("kind", "body", "path"),
    [
        (CompletionParams, b'{"prompt": [' + b'"",' * 100_000 + b'""]}', "prompt"),
        (EmbeddingParams, b'{"input": [' + b'"",' * 100_000 + b'""]}', "input"),
        (EmbeddingParams, b'{"input": [' + b"[1]," * 1000 + b'"x"]}', "input"),
    ],
)
def test_items_are_counted_before_they_are_read(kind: type[Any], body: bytes, path: str) -> None:
    """A list that is too long is refused for that, whatever stands in it."""
    with pytest.raises(InvalidFieldError, match=r"must have 1 to 128 items, not 1?00") as found:
        parse(kind, body)
    assert found.value.field == path


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 10_000, b'{"messages": [NaN]}', b'{"model": "\\ud800"}'])
def test_body_that_is_no_json_is_refused(body: bytes) -> None:
    """The error names the body, and what the parser says of it."""
    with pytest.raises(InvalidFieldError, match=r"^(body: is no valid JSON|messages.0.)"):
        parse(ChatCompletionParams, body)


def test_null_is_as_if_left_out() -> None:
    """Clients send null for what they leave to the service."""
    names = ["temperature", "max_tokens", "stop", "seed", "n", "logit_bias", "stream_options", "tools", "tool_choice"]
    fields = dict.fromkeys([*names, "functions", "audio", "reasoning_effort", "suffix", "web_search_options"])
    assert asked(chat(**fields)) == asked(chat())


def test_developer_is_the_system() -> None:
    """Models know no role called developer."""
    assert asked(chat(messages=[{"role": "developer", "content": "x"}])).prompt[0].role == "system"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens"),
        ({"max_completion_tokens": 1, "n_predict": 2}, "n_predict"),
        ({"repetition_penalty": 1.5, "repeat_penalty": 1.25}, "repeat_penalty"),
    ],
)
def test_contradicting_names_of_one_field_are_refused(fields: dict[str, Any], field: str) -> None:
    """The error names both: the one that it is about, and the one that it contradicts."""
    first = next(iter(fields))
    with pytest.raises(InvalidFieldError, match=f"^{field}: contradicts {first}; leave one of them out") as found:
        asked(chat(**fields))
    assert found.value.field == field


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "n_predict"])
@pytest.mark.parametrize(("value", "taken"), [(7, 7), (32_000, 4096), (-1, 4096)])
def test_limit_of_tokens_has_three_names_and_is_lowered_to_the_services(name: str, value: int, taken: int) -> None:
    """Agents ask for more than there is; -1 is no limit of the caller's."""
    assert asked(chat(**{name: value})).stopping.max_tokens == taken


def test_llama_servers_samplers_have_its_names() -> None:
    """Each reaches the sampling."""
    fields = {"top_n_sigma": 1.5, "min_keep": 2, "xtc_probability": 0.5, "dynatemp_range": 0.5, "dry_multiplier": 0.8}
    sampling = asked(chat(**fields, dry_sequence_breakers=["a"])).sampling
    assert {name: getattr(sampling, name) for name in fields} == fields
    assert sampling.dry_sequence_breakers == ("a",)
    assert asked(chat(mirostat=2, mirostat_tau=4.0)).sampling.mirostat_tau == 4.0


def test_repeat_penalty_is_the_repetition_penalty() -> None:
    """llama.cpp's and Ollama's users know it by this name."""
    assert asked(chat(repeat_penalty=1.25)) == asked(chat(repetition_penalty=1.25))


@pytest.mark.parametrize(
    ("seed", "taken"),
    [(5, 5), (2**32 - 2, 2**32 - 2), (2**32, 1), (2**63 - 1, (2**63 - 1) % (2**32 - 1)), (-5, 2**32 - 6)],
)
def test_any_seed_of_64_bits_is_folded(seed: int, taken: int) -> None:
    """OpenAI's clients draw from all integers; the answer says which seed was used."""
    assert asked(chat(seed=seed)).sampling.seed == taken


@pytest.mark.parametrize("seed", [-1, 2**32 - 1, 2**64 - 1])
def test_seed_of_minus_one_is_a_random_one(seed: int) -> None:
    """As other servers read it, with or without a sign."""
    assert len({asked(chat(seed=seed)).sampling.seed for _ in range(3)}) > 1


def test_default_seed_is_that_of_requests_without_one() -> None:
    """The setting makes all of them reproducible; -1 still asks for a random one."""
    limits = replace(LIMITS, seed=9)
    assert read_chat(chat(), limits).sampling.seed == 9
    assert read_chat(chat(seed=3), limits).sampling.seed == 3
    assert len({read_chat(chat(seed=-1), limits).sampling.seed for _ in range(3)}) > 1


def test_biases_are_by_token_id_or_by_text() -> None:
    """A key of digits is an id, as at OpenAI; any other is a text."""
    sampling = asked(chat(logit_bias={"5": -100, " no": 2})).sampling
    assert (sampling.logit_bias, sampling.logit_bias_texts) == ({5: -100}, {" no": 2})


def completions(**fields: Any) -> tuple[GenerationRequest, ...]:
    return read_completion(parse(CompletionParams, json.dumps(fields).encode()), LIMITS)


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a", ["a"]),
        (["a"], ["a"]),
        (["a", "b"], ["a", "b"]),
        ("", [""]),
        ([1, 2], [TokenPrompt((1, 2))]),
        ([[1, 2], [3]], [TokenPrompt((1, 2)), TokenPrompt((3,))]),
    ],
)
def test_each_prompt_is_a_request(prompt: object, prompts: list[object]) -> None:
    """Texts or lists of token ids; they share all else, the seed included."""
    found = completions(prompt=prompt, n=2)
    assert [request.prompt for request in found] == prompts
    assert {request.n for request in found} == {2}
    assert len({request.id for request in found}) == len(prompts)
    assert len({request.sampling.seed for request in found}) == 1


def test_errors_of_one_of_several_prompts_name_it() -> None:
    """A single one in a list needs no number."""
    assert [request.prompt_field for request in completions(prompt=["a", "b"])] == ["prompt[0]", "prompt[1]"]
    assert [request.prompt_field for request in completions(prompt=["a"])] == ["prompt"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": [1] * 100_001}, "prompt"),
        ({"prompt": ["x" * (1 << 19)] * 3}, "prompt"),
        ({"prompt": ["a"] * 26, "n": 5}, "prompt"),
        ({"prompt": "a", "suffix": "x" * ((1 << 20) + 1)}, "suffix"),
        ({"prompt": "a", "suffix": 1}, "suffix"),
        ({"prompt": "a", "max_completion_tokens": 1}, "max_completion_tokens"),
    ],
)
def test_prompts_that_cannot_be_continued_are_refused(fields: dict[str, Any], field: str) -> None:
    """None, a mixture, an empty list of tokens, too much text, too many answers together."""
    with pytest.raises(InvalidFieldError) as found:
        completions(**fields)
    assert found.value.field == field


def test_chat_has_no_suffix() -> None:
    """The error says where to send it."""
    with pytest.raises(InvalidFieldError, match=r"^suffix: .* /v1/completions"):
        chat(suffix="x")


def test_schema_keeps_the_order_of_its_keys() -> None:
    """The model writes the properties in the order in which the caller thinks of them."""
    schema = {"type": "object", "properties": {"z": {}, "a": {}}}
    request = asked(chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}))
    assert request.constraint is not None
    assert request.constraint.source == json.dumps(schema)


def test_usage_is_asked_for_with_streams_only() -> None:
    """stream_options without a stream is an error, as at OpenAI."""
    with pytest.raises(InvalidFieldError, match="stream_options: needs stream"):
        asked(chat(stream_options={"include_usage": True}))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"n_predict": 0}, "n_predict"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"response_format": {"type": "json_object"}, "ignore_eos": True}, "ignore_eos"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": DEEP}}}, "response_format"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"n": 11}, "n"),
        ({"seed": 2**64}, "seed"),
        ({"seed": 10**400}, "seed"),
        ({"n": 10**400}, "n"),
        ({"top_k": -(10**400)}, "top_k"),
        ({"max_tokens": -(10**400)}, "max_tokens"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": 1 << 40}, "top_k"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logit_bias": {"x": 101}}, "logit_bias[x]"),
        ({"logit_bias": {"": 1}}, "logit_bias"),
        ({"logit_bias": {"1" * 20: 1}}, "logit_bias[11111111111111111111]"),
        ({"logit_bias": {"1": 101}}, "logit_bias[1]"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ""}, "stop[0]"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
        ({"continue_final_message": True}, "continue_final_message"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ],
)
def test_value_that_cannot_be_honoured_is_refused_by_the_name_that_was_sent(fields: dict[str, Any], field: str) -> None:
    """Inside, the fields have the typed API's names; the caller reads its own."""
    with pytest.raises(InvalidFieldError) as found:
        asked(chat(**fields))
    assert found.value.field == field


def test_limits_of_integers_are_shown_exactly_and_long_numbers_in_part() -> None:
    """A limit of 20 digits that is rounded says nothing; a number of 400 is no error of the service."""
    with pytest.raises(InvalidFieldError) as found:
        asked(chat(seed=2**64))
    assert str(found.value) == (
        "seed: must be a number from -9223372036854775808 to 18446744073709551615, not 18446744073709551616"
    )
    with pytest.raises(InvalidFieldError) as found:
        asked(chat(seed=10**400))
    assert len(str(found.value)) < 200


def test_answer_can_be_sent_back_with_all_its_fields() -> None:
    """Clients dump the assistant's message with nulls and thoughts; what it said and called is kept."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    said = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "hm"}
    message = {**said, **dict.fromkeys(["refusal", "annotations", "audio", "function_call"])}
    result = {"role": "tool", "tool_call_id": "1", "content": "done"}
    request = asked(chat(messages=[*SAID, message, result]))
    assert request.prompt[1].tool_calls[0].name == "f"
    assert request.prompt[1].reasoning == "hm"
    assert request.prompt[2].tool_call_id == "1"


@pytest.mark.parametrize(
    "thoughts",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "h"}, {"type": "reasoning.summary", "summary": "m"}]},
        {"reasoning_content": None, "reasoning": "hm", "reasoning_details": None},
    ],
)
def test_thoughts_of_an_earlier_answer_are_taken_by_any_of_their_names(thoughts: dict[str, Any]) -> None:
    """Servers and routers name them differently, and clients send back what they were given."""
    request = asked(chat(messages=[*SAID, {"role": "assistant", "content": "Ho", **thoughts}, *SAID]))
    assert request.prompt[1].reasoning == "hm"


def test_parts_of_a_message_are_lines() -> None:
    """The last word of a part and the first of the next stay two words."""
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "the best book"}]
    assert asked(chat(messages=[{"role": "user", "content": parts}])).prompt[0].content == "What is\nthe best book"


def test_empty_message_of_the_user_is_a_message() -> None:
    """Templates render it like others."""
    assert asked(chat(messages=[{"role": "user", "content": ""}])).prompt[0].content == ""


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({}, Ending.CONTINUE),
        ({"continue_final_message": True, "add_generation_prompt": False}, Ending.CONTINUE),
        ({"add_generation_prompt": True}, Ending.ANSWER),
        ({"continue_final_message": False}, Ending.ANSWER),
        ({"add_generation_prompt": False}, Ending.CLOSED),
    ],
)
def test_end_of_the_prompt_is_the_callers_to_choose(fields: dict[str, Any], end: Ending) -> None:
    """The names are vLLM's; without them an assistant's last message is continued."""
    assert asked(chat(messages=[*SAID, {"role": "assistant", "content": "Ho"}], **fields)).ending is end
