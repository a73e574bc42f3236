"""Answers and events as Anthropic's JSON, and as the events of its streams."""

import json
import sys
from typing import Any

import pytest

from llm_inference_api.api.anthropic.writers import MessageWriter
from llm_inference_api.errors import ComputationError
from llm_inference_api.generation.answers import whole_answers
from llm_inference_api.requests.events import CallPart, End, Event, FinishReason, Progress, Stage, Text, Thought, Usage
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.thinking import Thinking

USAGE = {
    "input_tokens": 7,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 3,
    "output_tokens": 5,
    "output_tokens_details": {"thinking_tokens": 2},
}
COST = Usage(10, 5, 3, reasoning_tokens=2)


def writer(*, shows_thoughts: bool = True) -> MessageWriter:
    thinking = Thinking(is_shown=shows_thoughts)
    return MessageWriter(GenerationRequest("msg_1", (), Sampling(seed=0), model="m", thinking=thinking))


def streamed(*events: Event, **options: bool) -> list[dict[str, Any]]:
    written = writer(**options)
    frames = b"".join(written.part(event) for event in events).decode().split("\n\n")
    found = []
    for frame in filter(None, frames):
        name, data = frame.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def whole(*events: Event, **options: bool) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(writer(**options).whole(*whole_answers(events)))
    return written


ALL = (
    Thought("h"),
    Thought("m"),
    Text("I "),
    Text("look."),
    CallPart(0, "t1", "f"),
    CallPart(0, arguments='{"a":'),
    CallPart(0, arguments="1}"),
    CallPart(1, "t2", "g", "{}"),
    End(FinishReason.TOOL_CALLS, 0, COST, max_tokens=20, ignored=("tools[0].not",)),
)


def test_whole_answer_has_a_block_for_each_kind() -> None:
    """Thoughts, text and calls, in their order."""
    found = whole(*ALL)
    assert found["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "I look.", "citations": None},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ]
    assert (found["stop_reason"], found["stop_sequence"], found["usage"]) == ("tool_use", None, USAGE)
    assert (found["id"], found["type"], found["role"], found["model"]) == ("msg_1", "message", "assistant", "m")


def test_stream_has_the_same_blocks() -> None:
    """Each begins and ends, under its index, and what is between adds up."""
    found = streamed(*ALL)
    assert [event["type"] for event in found] == [
        "message_start",
        *(
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
        ),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert [event["index"] for event in found if "index" in event] == [0] * 5 + [1] * 4 + [2] * 4 + [3] * 3
    assert found[4]["delta"] == {"type": "signature_delta", "signature": ""}
    parts = [
        event["delta"]["partial_json"] for event in found if event.get("delta", {}).get("type") == "input_json_delta"
    ]
    assert parts == ['{"a":', "1}", "{}"]
    assert found[-2] == {
        "type": "message_delta",
        "delta": {
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "max_tokens": 20,
            "ignored_keywords": ["tools[0].not"],
        },
        "usage": USAGE,
    }


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (End(FinishReason.STOP, 0, COST), ("end_turn", None)),
        (End(FinishReason.LENGTH, 0, COST), ("max_tokens", None)),
        (End(FinishReason.STOP, 0, COST, stop="###"), ("stop_sequence", "###")),
    ],
)
def test_end_says_why(end: End, expected: tuple[str, str | None]) -> None:
    """A stop sequence says which."""
    found = whole(Text("x"), end)
    assert (found["stop_reason"], found["stop_sequence"]) == expected
    delta = streamed(Text("x"), end)[-2]["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == expected


def test_answer_says_what_it_is_of_the_request() -> None:
    """As on the other wires: the seed, the limit that the service made of the caller's, and what it did not follow."""
    found, begun = whole(*ALL), streamed(*ALL)[0]["message"]
    assert (found["seed"], found["max_tokens"], found["ignored_keywords"]) == (0, 20, ["tools[0].not"])
    assert (begun["seed"], begun["max_tokens"]) == (0, None)
    assert "ignored_keywords" not in whole(Text("x"), End(FinishReason.STOP, 0, COST))


def test_answer_without_words_has_an_empty_text() -> None:
    """As a whole; a stream has no block."""
    assert whole(End(FinishReason.STOP, 0, COST))["content"] == [{"type": "text", "text": "", "citations": None}]
    types = [event["type"] for event in streamed(End(FinishReason.STOP, 0, COST))]
    assert types == ["message_start", "message_delta", "message_stop"]


def test_thoughts_that_are_omitted_leave_no_block() -> None:
    """The stream says that it is alive."""
    events = (Thought("hm"), Text("x"), End(FinishReason.STOP, 0, COST))
    assert [block["type"] for block in whole(*events, shows_thoughts=False)["content"]] == ["text"]
    found = streamed(*events, shows_thoughts=False)
    assert found[0] == {"type": "ping"}
    assert all("thinking" not in json.dumps(event.get("delta", {})) for event in found)


def test_message_begins_with_the_cost_of_its_prompt() -> None:
    """As soon as that is known; before and after, a wait is a ping."""
    loading, reading = Progress(Stage.LOADING), Progress(Stage.PREFILL, 0, 10, 4, 3)
    found = streamed(loading, reading, reading, Text("x"))
    assert [event["type"] for event in found[:3]] == ["ping", "message_start", "ping"]
    usage = found[1]["message"]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (7, 3, 0)


def test_arguments_that_were_cut_are_as_far_as_they_go() -> None:
    """An answer ends within them at its limit of tokens."""
    events = (CallPart(0, "t", "f", '{"a": "xy'), End(FinishReason.LENGTH, 0, COST))
    assert whole(*events)["content"][0]["input"] == {"a": "xy"}


def test_arguments_are_json_whatever_numbers_the_model_writes() -> None:
    """JSON has no infinity, as which Python reads a number beyond float64."""
    events = (CallPart(0, "t", "f", '{"a": [-1e999]}'), End(FinishReason.TOOL_CALLS, 0, COST))
    assert whole(*events)["content"][0]["input"] == {"a": [-sys.float_info.max]}


def test_arguments_that_cannot_be_read_fail_the_answer() -> None:
    """A call without them would be another call."""
    events = (CallPart(0, "t", "f", f'{{"a": {"9" * 5000}}}'), End(FinishReason.TOOL_CALLS, 0, COST))
    with pytest.raises(ComputationError, match="arguments cannot be read as JSON"):
        whole(*events)
