"""Answers and events as Ollama's JSON, and as the lines of its streams."""

import json
import time
from datetime import datetime
from typing import Any

import pytest

from llm_inference_api.api.ollama.writers import (
    AnswerWriter,
    chat_shape,
    embed_document,
    embed_prompt_document,
    generate_shape,
)
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
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llm_inference_api.requests.inquiry import Embedding

DURATIONS = {
    "prompt_eval_count": 10,
    "prompt_eval_duration": 2_000_000_000,
    "eval_count": 5,
    "eval_duration": 3_000_000_000,
}


def cost() -> Usage:
    """Queued 6 s ago, computed from 1 s later on, first token after 2 s more, ended 3 s later."""
    now = time.monotonic()
    return Usage(10, 5, 3, Times(now - 6, now - 5, now - 3, now))


def writer(shape: Any = chat_shape) -> AnswerWriter:
    return AnswerWriter("m:latest", shape, time.monotonic() - 8)


def streamed(*events: Event, shape: Any = chat_shape) -> list[dict[str, Any]]:
    written = writer(shape)
    return [json.loads(line) for event in events for line in written.part(event).splitlines()]


def whole(*events: Event, shape: Any = chat_shape) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(writer(shape).whole(*whole_answers(events)))
    return found


def end(reason: FinishReason = FinishReason.STOP) -> End:
    return End(reason, usage=cost())


def test_line_has_what_was_said_when_and_by_whom() -> None:
    """The last one, which says no more, has why and how long."""
    first, thought, last = streamed(Text("I "), Thought("h"), end(FinishReason.LENGTH))
    assert (first["model"], first["message"], first["done"]) == (
        "m:latest",
        {"role": "assistant", "content": "I "},
        False,
    )
    assert datetime.fromisoformat(first["created_at"]).utcoffset() is not None
    assert thought["message"] == {"role": "assistant", "content": "", "thinking": "h"}
    assert last["message"] == {"role": "assistant", "content": ""}
    assert (last["done"], last["done_reason"]) == (True, "length")


def test_durations_are_in_nanoseconds() -> None:
    """The load is what passed before the request was queued."""
    found = whole(Text("a"), end())
    assert {name: found[name] for name in DURATIONS} == pytest.approx(DURATIONS, rel=1e-6)
    assert found["total_duration"] == pytest.approx(8e9, rel=0.1)
    assert found["load_duration"] == pytest.approx(2e9, rel=0.1)


def test_prompts_answer_has_no_message() -> None:
    """But the text at the top."""
    events = (Thought("h"), Text("a"), end())
    assert [line.get("response") for line in streamed(*events, shape=generate_shape)] == ["", "a", ""]
    found = whole(*events, shape=generate_shape)
    assert (found["response"], found["thinking"], found["done"]) == ("a", "h", True)
    assert "message" not in found


CALLS = (
    CallPart(0, "c1", "f", '{"a":'),
    CallPart(0, arguments=' "ä"}'),
    CallPart(1, "c2", "g", "{}"),
    CallPart(2, "c3", "h", '{"b": "cut'),
)
OBJECTS = [
    {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"a": "ä"}}},
    {"id": "c2", "function": {"index": 1, "name": "g", "arguments": {}}},
    {"id": "c3", "function": {"index": 2, "name": "h", "arguments": {"b": "cut"}}},
]


def test_calls_are_written_whole() -> None:
    """Each in a line of its own once it has ended, with its arguments as an object, as far as an answer goes."""
    lines = streamed(*CALLS, end(FinishReason.TOOL_CALLS))
    assert [line["message"].get("tool_calls") for line in lines] == [*([call] for call in OBJECTS), None]
    assert lines[-1]["done_reason"] == "stop"
    assert whole(*CALLS, end(FinishReason.TOOL_CALLS))["message"]["tool_calls"] == OBJECTS


def test_progress_is_a_line_without_words() -> None:
    """A stream that waits is not silent."""
    (line,) = streamed(Progress(Stage.PREFILL))
    assert (line["message"]["content"], line["done"]) == ("", False)


def test_log_probabilities_stand_beside_the_text() -> None:
    """With those of the most probable tokens."""
    entry = TokenLogprob(1, "ä".encode(), -0.5, (TopLogprob(2, b"b", -0.1),))
    listed = [
        {
            "token": "ä",
            "logprob": -0.5,
            "bytes": [195, 164],
            "top_logprobs": [{"token": "b", "logprob": -0.1, "bytes": [98]}],
        }
    ]
    events = (Text("ä", logprobs=(entry,)), end())
    assert whole(*events)["logprobs"] == listed
    assert [line.get("logprobs") for line in streamed(*events)] == [listed, None]


def test_request_that_asks_nothing_is_answered_with_what_was_done() -> None:
    """Whether the model was loaded or unloaded."""
    found = writer().without_words("load")
    assert (found["done"], found["done_reason"], found["message"]["content"]) == (True, "load", "")


def test_vectors_are_listed() -> None:
    """All texts', or the only one's."""
    half = Embedding(b"\x00\x00\x00\x3f\x00\x00\x00\xbf", 3)
    found = json.loads(embed_document('m"', [half, half], 0.5))
    assert found == {
        "model": 'm"',
        "total_duration": 500_000_000,
        "prompt_eval_count": 6,
        "embeddings": [[0.5, -0.5], [0.5, -0.5]],
    }
    assert json.loads(embed_prompt_document([half])) == {"embedding": [0.5, -0.5]}
    assert json.loads(embed_prompt_document([])) == {"embedding": []}
