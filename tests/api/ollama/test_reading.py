"""Requests of Ollama's clients, as what is asked of a model."""

import json
from typing import Any

import pytest

from llm_inference_api.api.ollama.params import ChatParams, EmbedParams, GenerateParams, parse
from llm_inference_api.api.ollama.reading import read_chat, read_embed, read_generate
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.constraint import Language
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.tools import ToolCall

LIMITS = Limits(temperature=0.7, top_p=0.9, max_tokens=4096, answers=10)
SAID = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def chat(**fields: Any) -> GenerationRequest:
    body = {"model": "m", "messages": SAID, **fields}
    return read_chat(parse(ChatParams, json.dumps(body).encode()), LIMITS, "m")


def generate(**fields: Any) -> GenerationRequest:
    return read_generate(parse(GenerateParams, json.dumps({"prompt": "hi", **fields}).encode()), LIMITS, "m")


def messages(*said: Any, **fields: Any) -> tuple[Message, ...]:
    prompt = chat(messages=said, **fields).prompt
    assert isinstance(prompt, tuple)
    return prompt


def called(name: str, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": {"a": "ä"}}, **more}


def test_options_are_the_typed_apis_parameters() -> None:
    """By Ollama's names; what is left out has the service's default."""
    options = {"num_predict": 7, "repeat_penalty": 1.5, "top_k": 3, "min_p": 0.1, "seed": 5, "stop": "x", "mirostat": 0}
    asked = chat(options=options)
    assert (asked.stopping.max_tokens, asked.stopping.stop) == (7, ("x",))
    sampling = asked.sampling
    assert (sampling.repetition_penalty, sampling.top_k, sampling.min_p, sampling.seed) == (1.5, 3, 0.1, 5)
    assert (sampling.temperature, sampling.top_p, sampling.logprobs) == (0.7, 0.9, None)


@pytest.mark.parametrize("unlimited", [-1, -2])
def test_answer_without_limit_has_the_services(unlimited: int) -> None:
    """-2 fills the context in Ollama."""
    assert chat(options={"num_predict": unlimited}).stopping.max_tokens == 4096


def test_null_is_an_absent_field() -> None:
    """As for Go's decoder; options too."""
    fields = dict.fromkeys(("options", "stream", "format", "think", "keep_alive", "tools", "images"))
    body = {"prompt": "hi", "template": None, **{name: None for name in fields if name != "tools"}}
    assert parse(GenerateParams, json.dumps(body).encode()).stream
    assert chat(options={"num_ctx": None, "num_gpu": None, "stop": None}).stopping.stop == ()


def test_prompt_is_a_chat_unless_it_is_raw() -> None:
    """The model's template has a place for both; raw text has none."""
    assert generate(system="s").prompt == (Message("system", "s"), Message("user", "hi"))
    assert generate(raw=True).prompt == "hi"
    between = generate(suffix="after")
    assert (between.prompt, between.suffix) == ("hi", "after")


def test_results_of_tools_find_their_calls() -> None:
    """By id, by the tool's name, else in their order; Ollama's calls have no ids."""
    said = messages(
        *SAID,
        {"role": "assistant", "tool_calls": [called("f"), called("g"), called("f", id="own", type="function")]},
        {"role": "tool", "content": "1", "tool_name": "g"},
        {"role": "tool", "content": "2"},
        {"role": "tool", "content": "3", "tool_call_id": "own"},
        {"role": "tool", "content": "of no call"},
        tools=[TOOL],
    )
    assert said[1].tool_calls == tuple(
        ToolCall(name, tool, '{"a": "ä"}') for name, tool in (("call_1", "f"), ("call_2", "g"), ("own", "f"))
    )
    assert [message.tool_call_id for message in said[2:]] == ["call_2", "call_1", "own", "call_3"]
    assert said[2].name == "g"


def test_thoughts_are_sent_back_and_the_last_answer_is_continued() -> None:
    """As the typed API does."""
    asked = chat(messages=[*SAID, {"role": "assistant", "content": "It", "thinking": "hm", "images": []}])
    assert asked.prompt[1] == Message("assistant", "It", reasoning="hm")
    assert asked.ending is Ending.CONTINUE


@pytest.mark.parametrize(
    ("think", "enabled", "effort", "budget"),
    [(None, None, None, None), (True, True, None, None), (False, None, None, 0), ("high", None, "high", None)],
)
def test_thinking_is_switched_or_graded(think: object, enabled: object, effort: object, budget: object) -> None:
    """No thoughts are a budget of none, as every model has that."""
    asked = chat(think=think).thinking
    assert (asked.enabled, asked.effort, asked.budget) == (enabled, effort, budget)


def test_format_restricts_the_text() -> None:
    """To an object, or to a schema."""
    assert chat(format="").constraint is None
    loose, strict = chat(format="json").constraint, chat(format={"type": "integer"}).constraint
    assert loose is not None
    assert strict is not None
    assert (loose.language, json.loads(strict.source)) == (Language.JSON_SCHEMA, {"type": "integer"})


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"options": {"temperature": 3}}, "options.temperature"),
        ({"options": {"stop": ["a", ""]}}, "options.stop[1]"),
        ({"options": {"num_predict": 0}}, "options.num_predict"),
        ({"options": {"num_gpu": 1}}, "options.num_gpu"),
        ({"options": {"repeat_last_n": 64}}, "options.repeat_last_n"),
        ({"options": {"tfs_z": 0.5}}, "options.tfs_z"),
        ({"options": {"tempature": 1}}, "options.tempature"),
        ({"options": {"use_mmap": 1}}, "options.use_mmap"),
        ({"nonsense": None}, "nonsense"),
        ({"truncate": True}, "truncate"),
        ({"format": "xml"}, "format"),
        ({"keep_alive": "soon"}, "keep_alive"),
        ({"keep_alive": True}, "keep_alive"),
        ({"think": 1}, "think"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"messages": [{"role": "user", "content": "a", "images": ["aGk="]}]}, "messages[0].images"),
        ({"messages": [{"role": "user", "content": "a", "thinking": "b"}]}, "messages[0].thinking"),
        ({"tools": [{"function": {"name": "no name"}}]}, "tools[0].function.name"),
    ],
)
def test_refusal_names_the_field_as_it_was_sent(fields: dict[str, Any], field: str) -> None:
    """What is invalid, and what has no effect here."""
    with pytest.raises(InvalidFieldError) as refused:
        chat(**fields)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"context": [1, 2]}, "context"),
        ({"images": ["aGk="]}, "images"),
        ({"raw": True, "system": "s"}, "system"),
        ({"suffix": "x", "think": True}, "think"),
    ],
)
def test_prompt_with_what_is_not_served_is_refused(fields: dict[str, Any], field: str) -> None:
    """By name; empty values, which clients send by default, ask for nothing."""
    with pytest.raises(InvalidFieldError) as refused:
        generate(**fields)
    assert refused.value.field == field
    assert generate(template="", context=[], images=[], system="", raw=False, suffix="").prompt


@pytest.mark.parametrize(
    ("sent", "keeps"),
    [(0, False), (0.0, False), ("0s", False), ("0", False), ("1h0m", True), (-1, True), ("-1m", True)],
)
def test_time_to_stay_is_none_or_some(sent: object, keeps: bool) -> None:  # noqa: FBT001
    """In seconds, or as Go writes durations."""
    assert parse(ChatParams, json.dumps({"keep_alive": sent}).encode()).keep_alive is keeps


def test_texts_are_embedded_without_options_of_sampling() -> None:
    """One or several; what has no effect is refused."""
    one, two = (parse(EmbedParams, json.dumps({"input": texts}).encode()) for texts in ("a", ["a", "b"]))
    assert [item.content for params in (one, two) for item in read_embed(params).inputs] == ["a", "a", "b"]
    with pytest.raises(InvalidFieldError, match=r"options\.seed: has no effect"):
        read_embed(parse(EmbedParams, b'{"input": "a", "options": {"num_ctx": 10, "seed": 1}}'))
