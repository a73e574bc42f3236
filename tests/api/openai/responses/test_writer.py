"""Answers as response objects and as the events of streams, checked against the types of OpenAI's client."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from llm_inference_api.api.openai.responses.document import ResponseDocument
from llm_inference_api.api.openai.responses.params import ResponseParams, parse
from llm_inference_api.api.openai.responses.tools import functions_of
from llm_inference_api.api.openai.responses.writer import ResponseWriter
from llm_inference_api.errors import ComputationError, ContextLengthError, OverloadedError
from llm_inference_api.generation.answers import whole_answers
from llm_inference_api.requests.events import (
    CallPart,
    End,
    Event,
    FinishReason,
    Progress,
    Stage,
    Text,
    Thought,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.rpc.off_loop import LOGPROB_BYTES

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
SIZE = 100
COST = Usage(10, 5, 3, reasoning_tokens=2)
STOP = End(FinishReason.STOP, usage=COST)
PREFILL = Progress(Stage.PREFILL, prompt_tokens=10)
LOGPROBS = (TokenLogprob(1, b"I ", -0.5, (TopLogprob(1, b"I ", -0.5), TopLogprob(2, b"We", -1.0))),)
ALL = (
    PREFILL,
    Thought("h"),
    Thought("m"),
    Text("I "),
    Text("look."),
    CallPart(0, "c0", "weather", '{"a"'),
    CallPart(0, arguments=": 1}"),
    CallPart(1, "c1", "weather", "{}"),
    End(FinishReason.TOOL_CALLS, usage=COST),
)
MORE = {"store"}
"""Fields that OpenAI's API has and its client's types lack."""


def writer(**fields: Any) -> ResponseWriter:
    params = parse(ResponseParams, json.dumps({"input": "hi", **fields}).encode())
    request = GenerationRequest("resp_1", (), Sampling(seed=0), model="m")
    calls = {function.called.full: function.called for function in functions_of(params.tools)}
    return ResponseWriter(ResponseDocument(params, request, is_stored=True), calls, SIZE)


def whole(events: tuple[Event, ...], **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(writer(**fields).whole(*whole_answers(events)))
    return found


def frames(written: ResponseWriter, *events: Event) -> list[dict[str, Any]]:
    return read(b"".join(written.part(event) for event in events))


def read(data: bytes) -> list[dict[str, Any]]:
    found = []
    for frame in filter(None, data.decode().split("\n\n")):
        if frame.startswith(":"):
            continue
        name, line = frame.split("\n")
        value = json.loads(line.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def unknown(model: object) -> Iterator[str]:
    """Yields the fields of an object that its type does not have."""
    if isinstance(model, list):
        for inner in model:
            yield from unknown(inner)
    elif isinstance(model, BaseModel):
        yield from model.model_extra or ()
        for name in type(model).model_fields:
            yield from unknown(getattr(model, name))


def without_ids(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in item.items() if name != "id"} for item in output]


def test_events_come_in_order() -> None:
    found = frames(writer(), *ALL)
    assert [event["type"].removeprefix("response.") for event in found] == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]


def test_events_are_numbered_through() -> None:
    found = frames(writer(), *ALL)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))


@pytest.mark.parametrize("events", [ALL, (Text("I ", logprobs=LOGPROBS), STOP), (STOP,)])
def test_events_are_those_of_openais_client(events: tuple[Event, ...]) -> None:
    """Each has the fields of its type and no others."""
    for event in frames(writer(), *events):
        assert set(unknown(EVENT.validate_python(event, strict=True))) <= MORE


def test_whole_response_is_that_of_openais_client() -> None:
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
    options: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [tool],
        "tool_choice": {"type": "function", "name": "weather"},
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
        "reasoning": {"effort": "low"},
        "metadata": {"a": "b"},
        "previous_response_id": "resp_0",
        "parallel_tool_calls": False,
        "max_output_tokens": 9,
    }
    found = whole(ALL, **options)
    assert set(unknown(Response.model_validate(found))) <= MORE
    assert {name: found[name] for name in options if name not in ("tools", "reasoning")} == {
        name: value for name, value in options.items() if name not in ("tools", "reasoning")
    }
    assert found["tools"] == [{**tool, "description": None}]


def test_stream_ends_with_the_whole_response() -> None:
    written = writer()
    *_, last = frames(written, *ALL)
    made = whole(ALL)
    assert without_ids(last["response"]["output"]) == without_ids(made["output"])
    assert last["response"] == written.ended
    assert last["response"]["usage"] == made["usage"]


def test_items_keep_their_ids_and_places() -> None:
    found = frames(writer(), *ALL)
    added = [event["item"]["id"] for event in found if event["type"] == "response.output_item.added"]
    assert [item["id"] for item in found[-1]["response"]["output"]] == added
    for event in found:
        if "item_id" in event:
            assert event["item_id"] == added[event["output_index"]]


def test_answer_without_text_is_an_empty_message() -> None:
    found = frames(writer(), STOP)
    (item,) = found[-1]["response"]["output"]
    assert item["content"][0]["text"] == ""
    assert without_ids([item]) == without_ids(whole((STOP,))["output"])


def test_cut_response_is_incomplete() -> None:
    found = frames(writer(), Text("a"), End(FinishReason.LENGTH, usage=COST))
    assert found[-1]["type"] == "response.incomplete"
    assert found[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert found[-1]["response"]["output"][0]["status"] == "incomplete"
    assert found[-1]["response"]["completed_at"] is None


def test_usage_counts_cached_and_reasoning_tokens() -> None:
    assert whole(ALL)["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }


def test_log_probabilities_are_those_of_the_text() -> None:
    found = frames(writer(), Text("I ", logprobs=LOGPROBS), STOP)
    (delta,) = (event for event in found if event["type"] == "response.output_text.delta")
    assert delta["logprobs"][0]["top_logprobs"][1] == {"token": "We", "logprob": -1.0}
    part = found[-1]["response"]["output"][0]["content"][0]
    assert part["logprobs"][0]["bytes"] == list(b"I ")


def test_ignored_keywords_are_named() -> None:
    found = whole((End(FinishReason.STOP, usage=COST, ignored=("pattern",)),))
    assert found["ignored_keywords"] == ["pattern"]


@pytest.mark.parametrize("stage", [Stage.LOADING, Stage.QUEUED])
def test_waiting_request_has_not_begun(stage: Stage) -> None:
    """Its model may still refuse it."""
    assert writer().part(Progress(stage)).startswith(b":")


def test_response_begins_with_its_prompt() -> None:
    written = writer()
    assert [event["type"] for event in frames(written, PREFILL)] == ["response.created", "response.in_progress"]
    assert written.part(PREFILL).startswith(b":")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ComputationError("NaN"), "server_error"),
        (OverloadedError("full", 1.0), "rate_limit_exceeded"),
        (ContextLengthError(9, 8), "invalid_prompt"),
        (RuntimeError("/secret"), "server_error"),
    ],
)
def test_failed_stream_says_so_with_the_next_number(error: Exception, code: str) -> None:
    written = writer()
    begun = frames(written, PREFILL, Thought("h"), Text("a"))
    (event,) = read(written.failed(error))
    assert event["type"] == "response.failed"
    assert event["sequence_number"] == len(begun)
    assert event["response"]["error"]["code"] == code
    assert [item["type"] for item in event["response"]["output"]] == ["reasoning"]
    assert "/secret" not in str(event)
    assert set(unknown(EVENT.validate_python(event))) <= MORE


def test_failure_before_the_beginning_begins_the_response() -> None:
    """Clients take no other event first."""
    written = writer()
    written.part(Progress(Stage.LOADING))
    found = read(written.failed(ComputationError("NaN")))
    assert [event["type"] for event in found] == ["response.created", "response.in_progress", "response.failed"]
    assert [event["sequence_number"] for event in found] == [0, 1, 2]


def test_call_in_a_namespace_says_so() -> None:
    """The model has both as one name."""
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
    space = {"type": "namespace", "name": "crm", "description": "d", "tools": [tool]}
    made = whole((CallPart(0, "c0", "crm.weather", "{}"), CallPart(1, "c1", "other", "{}"), STOP), tools=[space])
    assert [(call["name"], call.get("namespace")) for call in made["output"]] == [("weather", "crm"), ("other", None)]
    assert set(unknown(Response.model_validate(made))) <= MORE
    assert made["tools"] == [{**space, "tools": [{**tool, "description": None}]}]


def test_size_is_that_of_what_an_event_repeats() -> None:
    """What is large is not written on the event loop."""
    written = writer()
    sizes = []
    for event in (PREFILL, PREFILL, Text("x" * 1000), Text("y", logprobs=LOGPROBS), Thought("t"), STOP):
        sizes.append(written.size(event))
        written.part(event)
    said = 1001 + 3 * LOGPROB_BYTES
    assert sizes == [SIZE, 0, SIZE, 0, SIZE + 4 * said, SIZE + 4 * (said + 1)]
