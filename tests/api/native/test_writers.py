"""Answers and events as messages of the typed API."""

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from llm_inference_api.api.native.writers import ChatWriter, GenerateWriter, chat_response, generate_response
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
    Times,
    Usage,
)
from llm_inference_api.requests.request import GenerationRequest, Sampling

HEADING = {"id": "a", "created": 7, "model": "m", "seed": 4}
COST = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def request(n: int = 1) -> GenerationRequest:
    return GenerationRequest("a", "hi", Sampling(4), model="m", n=n, created=7)


def fields(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


ENDS = End(FinishReason.STOP, 0, Usage(10, 5, 0), max_tokens=20)
EVENTS: list[Event] = [
    Progress(Stage.QUEUED, 1),
    Thought("hm"),
    Text("so"),
    CallPart(0, "1", "f"),
    CallPart(0, arguments="{}"),
    End(FinishReason.TOOL_CALLS, 0, Usage(10, 5, 0), max_tokens=20),
]


def test_chats_stream_has_a_message_for_each_event_and_its_heading_once() -> None:
    """The first message that answers has the heading, the last the finish reason and the usage."""
    writer = ChatWriter(request())
    assert [fields(writer.part(event)) for event in EVENTS] == [
        {"progress": {"stage": "QUEUED", "requests_ahead": 1}},
        {**HEADING, "delta": {"reasoning_content": "hm"}},
        {"delta": {"content": "so"}},
        {"delta": {"tool_call": {"id": "1", "name": "f"}}},
        {"delta": {"tool_call": {"arguments": "{}"}}},
        {"delta": {"content": ""}, "finish_reason": "TOOL_CALLS", "max_tokens": 20, "usage": COST},
    ]


def test_generates_stream_has_texts() -> None:
    """The last message has an empty one, so that each answering message has the field."""
    writer = GenerateWriter(request())
    assert [fields(writer.part(event)) for event in (Text("x"), ENDS)] == [
        {**HEADING, "text": "x"},
        {"text": "", "finish_reason": "STOP", "max_tokens": 20, "usage": COST},
    ]


@pytest.mark.parametrize("writer", [ChatWriter, GenerateWriter])
def test_stream_of_several_answers_says_whose_each_message_is(writer: type[ChatWriter | GenerateWriter]) -> None:
    """Also for the first one; a single answer needs no index."""
    several, single = writer(request(2)), writer(request())
    assert [several.part(Text("x", answer)).index for answer in (0, 1)] == [0, 1]
    assert several.part(Text("x", 0)).HasField("index")
    assert not single.part(Text("x")).HasField("index")


def test_whole_chat_joins_texts_thoughts_and_calls() -> None:
    """As the stream would have brought them."""
    assert fields(chat_response(request(), *whole_answers(EVENTS))) == {
        **HEADING,
        "message": {
            "role": "assistant",
            "content": "so",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "1", "name": "f", "arguments": "{}"}],
        },
        "finish_reason": "TOOL_CALLS",
        "max_tokens": 20,
        "usage": COST,
    }


def test_further_answers_stand_behind_the_first_with_their_seeds() -> None:
    """The first is flat at the top, whichever ended first; the usage is that of all."""
    events = [Text("x", 1), Text("y"), End(FinishReason.LENGTH, 1), ENDS]
    assert fields(generate_response(request(2), *whole_answers(events))) == {
        **HEADING,
        "text": "y",
        "finish_reason": "STOP",
        "max_tokens": 20,
        "usage": COST,
        "alternatives": {"answers": [{"index": 1, "text": "x", "finish_reason": "LENGTH", "seed": 5}]},
    }
    chat = fields(chat_response(request(2), *whole_answers(events)))
    assert chat["message"] == {"role": "assistant", "content": "y"}
    assert chat["alternatives"]["answers"][0]["message"] == {"role": "assistant", "content": "x"}


def test_times_come_with_the_usage_where_they_are_wanted() -> None:
    """In milliseconds and tokens per second; reused tokens were not computed."""
    cost = Usage(10, 5, 2, Times(queued=1.0, started=1.5, first_token=3.5, ended=4.0))
    expected = {
        "queue_ms": 500.0,
        "prompt_tokens": 8,
        "prompt_ms": 2000.0,
        "prompt_tokens_per_second": 4.0,
        "completion_tokens": 5,
        "completion_ms": 500.0,
        "completion_tokens_per_second": 8.0,
    }
    end = End(FinishReason.STOP, 0, cost)
    assert fields(generate_response(request(), *whole_answers([Text("x"), end])))["timings"] == expected
    assert fields(chat_response(request(), *whole_answers([Text("x"), end])))["timings"] == expected
    assert fields(ChatWriter(request()).part(end))["timings"] == expected
    assert "timings" not in fields(ChatWriter(request()).part(ENDS))
