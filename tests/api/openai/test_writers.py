"""Answers and events as OpenAI's JSON, and as the frames of its streams."""

import json
from typing import Any

import pytest

from llm_inference_api.api.openai.writers import (
    SILENCE,
    ChatCompletionWriter,
    CompletionWriter,
    Header,
    document,
    fingerprint,
    large_document,
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
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.request import GenerationRequest, Sampling
from tests.fakes.model import INFO

STATUS = ModelStatus("m", "m.gguf", State.ACTIVE, info=INFO)
COST = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 3},
}
ENDS = End(FinishReason.STOP, 0, Usage(10, 5, 3))
LOGPROB = TokenLogprob(1, b"x", -0.5, (TopLogprob(2, b"y", -0.25),))
END_TOKEN = TokenLogprob(0, b"", -0.1, ())


def header() -> Header:
    return Header(GenerationRequest("a", "hi", Sampling(4), model="m", created=7), lambda: STATUS)


def frames(data: bytes) -> list[Any]:
    """Returns the values of server-sent events."""
    texts = [frame.removeprefix("data: ") for frame in data.decode().split("\n\n") if frame]
    return [text if text == "[DONE]" else json.loads(text) for text in texts]


def streamed(writer: ChatCompletionWriter | CompletionWriter, events: list[Event]) -> list[Any]:
    return [frame for event in events for frame in frames(writer.part(event))]


def test_chats_stream_begins_with_the_role_and_ends_with_the_reason() -> None:
    """Thoughts, words and calls each have their field; [DONE] is the last frame."""
    events: list[Event] = [
        Thought("hm"),
        Text("so"),
        CallPart(0, "1", "f"),
        CallPart(0, arguments="{}"),
        End(FinishReason.TOOL_CALLS, 0, Usage(10, 5, 3)),
    ]
    *chunks, last, done = streamed(ChatCompletionWriter(header()), events)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "so"},
        {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "tool_calls"}
    assert {chunk["object"] for chunk in [*chunks, last]} == {"chat.completion.chunk"}
    assert (last["id"], last["created"], last["model"]) == ("a", 7, "m")
    assert done == "[DONE]"


def test_usage_comes_in_a_chunk_of_its_own_where_it_is_asked_for() -> None:
    """All other chunks then say that they have none; without the wish no chunk has the field."""
    *chunks, last, done = streamed(ChatCompletionWriter(header(), with_usage=True), [Text("x"), ENDS])
    assert [chunk["usage"] for chunk in chunks] == [None] * 3
    assert (last["choices"], last["usage"], done) == ([], COST, "[DONE]")
    *chunks, done = streamed(ChatCompletionWriter(header()), [Text("x"), ENDS])
    assert not any("usage" in chunk for chunk in chunks)


def test_stream_of_several_answers_ends_with_the_last_one() -> None:
    """Each answer begins with its role and has its own reason; [DONE] comes once."""
    events: list[Event] = [Text("x", 1), Text("y"), End(FinishReason.LENGTH, 1), ENDS]
    found = streamed(ChatCompletionWriter(header()), events)
    roles = [frame["choices"][0]["index"] for frame in found[:-1] if "role" in frame["choices"][0]["delta"]]
    reasons = {frame["choices"][0]["index"]: frame["choices"][0]["finish_reason"] for frame in found[:-1]}
    assert (roles, reasons) == ([1, 0], {1: "length", 0: "stop"})
    assert found.count("[DONE]") == 1


def test_silence_is_a_comment() -> None:
    """Clients skip it; proxies see that the stream lives."""
    assert ChatCompletionWriter(header()).part(Progress(Stage.QUEUED)) == SILENCE


def test_whole_chat_is_one_object() -> None:
    """With all answers in the order of their indices."""
    events: list[Event] = [Text("x", 1), Text("y"), End(FinishReason.LENGTH, 1), ENDS]
    found = json.loads(ChatCompletionWriter(header()).whole(*whole_answers(events)))
    assert found["object"] == "chat.completion"
    assert found["usage"] == COST
    assert [
        (choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in found["choices"]
    ] == [
        (0, "y", "stop"),
        (1, "x", "length"),
    ]
    assert found["choices"][0]["message"]["refusal"] is None


def test_message_with_calls_and_no_words_has_null_for_content() -> None:
    """As OpenAI writes it; an empty answer is an empty text."""
    calls: list[Event] = [CallPart(0, "1", "f", "{}"), End(FinishReason.TOOL_CALLS, 0, Usage(1, 1, 0))]
    message = json.loads(ChatCompletionWriter(header()).whole(*whole_answers(calls)))["choices"][0]["message"]
    assert (message["content"], message["tool_calls"][0]["function"]) == (None, {"name": "f", "arguments": "{}"})
    empty = json.loads(ChatCompletionWriter(header()).whole(*whole_answers([ENDS])))["choices"][0]["message"]
    assert (empty["content"], "tool_calls" in empty) == ("", False)


def test_logprobs_leave_out_tokens_without_text() -> None:
    """Joined, the tokens' texts are the answer's."""
    events: list[Event] = [Text("x", logprobs=(LOGPROB,)), ENDS]
    chat = json.loads(ChatCompletionWriter(header()).whole(*whole_answers(events)))["choices"][0]["logprobs"]
    top = {"token": "y", "logprob": -0.25, "bytes": [121]}
    assert chat == {
        "content": [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": [top]}],
        "refusal": None,
    }
    completion = json.loads(CompletionWriter(header()).whole(*whole_answers(events)))["choices"][0]["logprobs"]
    assert completion == {
        "tokens": ["x"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"y": -0.25}],
        "text_offset": [0],
    }


def test_completions_stream_counts_characters_for_each_answer() -> None:
    """`text_offset` is the place of a token in its own answer."""
    events: list[Event] = [
        Text("x", logprobs=(LOGPROB,)),
        Text("x", 1, (LOGPROB,)),
        Text("x", logprobs=(LOGPROB,)),
        End(FinishReason.STOP, 1),
        ENDS,
    ]
    *chunks, done = streamed(CompletionWriter(header()), events)
    choices = [chunk["choices"][0] for chunk in chunks]
    offsets = [(choice["index"], choice["logprobs"]["text_offset"]) for choice in choices[:3]]
    assert offsets == [(0, [0]), (1, [0]), (0, [1])]
    assert [(choice["text"], choice["finish_reason"]) for choice in choices[3:]] == [("", "stop"), ("", "stop")]
    assert done == "[DONE]"


def test_fingerprint_is_that_of_what_computes() -> None:
    """Another description of the same file is another model."""
    other = ModelStatus("m", "m.gguf", State.ACTIVE, info=INFO._replace(description="other"))
    assert fingerprint(STATUS) == fingerprint(STATUS) != fingerprint(other)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": [], "b": {}, "c": None, "d": [1, "\N{EURO SIGN}", {"e": [[], [[[[[{"f": (1, 2)}]]]]]]}], 'g"': True},
        {"choices": [{"logprobs": {"content": [{"token": "a", "bytes": [97], "top_logprobs": []}] * 3}}] * 2},
    ],
)
def test_large_document_is_the_same_as_a_small_one(value: dict[str, object]) -> None:
    """It is written piece by piece, with the same bytes."""
    assert large_document(value) == document(value)
