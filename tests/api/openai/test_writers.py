"""Answers and events as OpenAI's JSON, and as the frames of its streams."""

import json
import time
from typing import Any

import pytest

from llm_inference_api.api.openai.writers import (
    SILENCE,
    ChatCompletionWriter,
    CompletionWriter,
    Header,
    TextPlace,
    completion_logprobs,
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
    Times,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.thinking import Thinking
from tests.fakes.model import INFO

STATUS = ModelStatus("m", "m.gguf", State.ACTIVE, info=INFO)
COST = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
ENDS = End(FinishReason.STOP, 0, Usage(10, 5, 3, reasoning_tokens=2))
LOGPROB = TokenLogprob(1, b"x", -0.5, (TopLogprob(2, b"y", -0.25),))
END_TOKEN = TokenLogprob(0, b"", -0.1, ())


def header(logprobs: int | None = None, *, wants_progress: bool = False) -> Header:
    sampling = Sampling(4, logprobs=logprobs)
    request = GenerationRequest("a", "hi", sampling, model="m", created=7, wants_progress=wants_progress)
    return Header(request, lambda: STATUS)


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
        End(FinishReason.TOOL_CALLS, 0, Usage(10, 5, 3, reasoning_tokens=2)),
    ]
    *chunks, last, done = streamed(ChatCompletionWriter(header()), events)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "so"},
        {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ]
    ending = {"finish_reason": "tool_calls", "max_tokens": 0}
    assert last["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, **ending}
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
    completion = json.loads(CompletionWriter(header(1)).whole(*whole_answers(events)))["choices"][0]["logprobs"]
    assert completion == {
        "tokens": ["x"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"y": -0.25, "x": -0.5}],
        "text_offset": [0],
    }


def logprobs_of(*tokens: TokenLogprob) -> Any:
    events: list[Event] = [Text("?", logprobs=tokens), ENDS]
    return json.loads(CompletionWriter(header(2)).whole(*whole_answers(events)))["choices"][0]["logprobs"]


def sampled(data: bytes, logprob: float = -1.0, **top: float) -> TokenLogprob:
    best = (TopLogprob(index, text.encode(), value) for index, (text, value) in enumerate(top.items()))
    return TokenLogprob(99, data, logprob, tuple(best))


def test_sampled_token_is_always_among_the_top_ones() -> None:
    """Also where none was asked for, or others were more probable."""
    assert logprobs_of(sampled(b"x", -3.0, a=-0.5, b=-1.5))["top_logprobs"] == [{"a": -0.5, "b": -1.5, "x": -3.0}]
    assert logprobs_of(sampled(b"x", -3.0))["top_logprobs"] == [{"x": -3.0}]


def test_tokens_of_one_text_share_the_most_probable_ones_place() -> None:
    """A vocabulary may have a text twice, and the sampled token may be the less probable of the two."""
    assert logprobs_of(sampled(b"a", -3.0, a=-0.5))["top_logprobs"] == [{"a": -0.5}]


def test_tokens_of_a_part_of_a_character_have_their_bytes_for_keys() -> None:
    """As OpenAI writes them: two parts never share a key."""
    found = logprobs_of(
        TokenLogprob(1, b"\xf0\x9f", -0.5, (TopLogprob(2, b"\xf0", -0.25), TopLogprob(3, b"\xe2", -0.75)))
    )
    assert found["tokens"] == [r"bytes:\xf0\x9f"]
    assert found["top_logprobs"] == [{r"bytes:\xf0": -0.25, r"bytes:\xe2": -0.75, r"bytes:\xf0\x9f": -0.5}]


def test_of_two_tokens_with_one_text_the_most_probable_stays() -> None:
    """An object has a key once."""
    found = logprobs_of(TokenLogprob(1, b"x", -0.5, (TopLogprob(1, b"x", -0.5), TopLogprob(2, b"x", -9.0))))
    assert found["top_logprobs"] == [{"x": -0.5}]


def test_offset_is_that_of_the_character_which_a_token_begins_or_continues() -> None:
    """No offset is beyond the text, however many tokens a character has."""
    smile = "\N{GRINNING FACE}".encode()
    found = logprobs_of(
        sampled(b"a"), sampled(smile[:1]), sampled(smile[1:3]), sampled(smile[3:] + b"b"), sampled(b"c")
    )
    assert found["text_offset"] == [0, 1, 1, 1, 3]  # a😀bc


def test_offset_behind_a_broken_character_is_that_of_the_next_one() -> None:
    """What was left of it is a character of the text."""
    smile = "\N{GRINNING FACE}".encode()
    found = logprobs_of(
        sampled(b"a"), sampled(smile[:2]), sampled(b"b"), sampled(smile[:1]), sampled(smile), sampled(b"c")
    )
    assert found["text_offset"] == [0, 1, 2, 3, 4, 5]  # a, U+FFFD, b, U+FFFD, smile, c


def test_offsets_go_on_over_the_chunks_of_a_stream() -> None:
    """A character may begin in one and end in the next."""
    smile = "\N{GRINNING FACE}".encode()
    events: list[Event] = [
        Text("a", logprobs=(sampled(b"a" + smile[:2]),)),
        Text("\N{GRINNING FACE}b", logprobs=(sampled(smile[2:]), sampled(b"b"))),
        ENDS,
    ]
    *chunks, _, _ = streamed(CompletionWriter(header(0)), events)
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in chunks] == [[0], [1, 2]]


def test_offsets_of_a_long_answer_take_linear_time() -> None:
    """A limit that only squares exceed: 20,000 tokens were ten seconds of the event loop."""
    started = time.process_time()
    assert completion_logprobs([sampled(b"x")] * 20_000, TextPlace())["text_offset"][-1] == 19_999
    assert time.process_time() - started < 2


def test_empty_answer_has_empty_logprobs_where_they_were_asked_for() -> None:
    """null says that nobody asked."""
    events: list[Event] = [End(FinishReason.STOP, 0, Usage(1, 1, 0))]
    for writer, empty in (
        (CompletionWriter, {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}),
        (ChatCompletionWriter, {"content": [], "refusal": None}),
    ):
        (choice,) = json.loads(writer(header(0)).whole(*whole_answers(events)))["choices"]
        assert choice["logprobs"] == empty
        (choice,) = json.loads(writer(header()).whole(*whole_answers(events)))["choices"]
        assert choice["logprobs"] is None


@pytest.mark.parametrize("writer", [ChatCompletionWriter, CompletionWriter])
def test_answer_says_its_seed_and_how_many_tokens_it_could_have(
    writer: type[ChatCompletionWriter | CompletionWriter],
) -> None:
    """Beside the finish reason, whole and streamed: what was asked for may have been lowered."""
    events: list[Event] = [Text("x"), End(FinishReason.LENGTH, 0, Usage(1, 1, 0), max_tokens=20)]
    whole = json.loads(writer(header()).whole(*whole_answers(events)))
    assert (whole["seed"], whole["choices"][0]["max_tokens"]) == (4, 20)
    *others, last, _ = streamed(writer(header()), events)
    assert {chunk["seed"] for chunk in (*others, last)} == {4}
    assert last["choices"][0]["max_tokens"] == 20
    assert not any("max_tokens" in chunk["choices"][0] for chunk in others)


@pytest.mark.parametrize("writer", [ChatCompletionWriter, CompletionWriter])
@pytest.mark.parametrize("with_usage", [False, True])
def test_times_stand_in_the_answer_and_in_the_last_chunk(
    writer: type[ChatCompletionWriter | CompletionWriter], *, with_usage: bool
) -> None:
    """With the names of llama.cpp's server: computed tokens, milliseconds and tokens per second."""
    cost = Usage(10, 5, 2, Times(queued=1.0, started=1.5, first_token=3.5, ended=4.0))
    expected = {
        "queue_ms": 500.0,
        "cache_n": 2,
        "prompt_n": 8,
        "prompt_ms": 2000.0,
        "prompt_per_second": 4.0,
        "predicted_n": 5,
        "predicted_ms": 500.0,
        "predicted_per_second": 8.0,
    }
    events: list[Event] = [Text("x"), End(FinishReason.STOP, 0, cost)]
    assert json.loads(writer(header()).whole(*whole_answers(events)))["timings"] == expected
    *others, last, _ = streamed(writer(header(), with_usage=with_usage), events)
    assert last["timings"] == expected
    assert bool(last["choices"]) != with_usage
    assert not any("timings" in chunk for chunk in others)


def test_progress_of_the_prompt_is_a_chunk_where_it_is_wanted() -> None:
    """With a choice that adds nothing, for clients that read the first one; other stages stay comments."""
    report = Progress(Stage.PREFILL, 0, 10, 4, 2, 0.25)
    for writer, content in ((ChatCompletionWriter, {"delta": {}}), (CompletionWriter, {"text": ""})):
        (chunk,) = frames(writer(header(wants_progress=True)).part(report))
        assert chunk["prompt_progress"] == {"total": 10, "cache": 2, "processed": 4, "time_ms": 250}
        assert chunk["choices"] == [{"index": 0, **content, "logprobs": None, "finish_reason": None}]
        assert writer(header()).part(report) == SILENCE
        assert writer(header(wants_progress=True)).part(Progress(Stage.QUEUED)) == SILENCE


def test_completions_stream_counts_characters_for_each_answer() -> None:
    """`text_offset` is the place of a token in its own answer."""
    events: list[Event] = [
        Text("x", logprobs=(LOGPROB,)),
        Text("x", 1, (LOGPROB,)),
        Text("x", logprobs=(LOGPROB,)),
        End(FinishReason.STOP, 1),
        ENDS,
    ]
    *chunks, done = streamed(CompletionWriter(header(0)), events)
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


def test_thoughts_are_left_out_where_they_are_not_wanted() -> None:
    """In a stream, a comment stands for each, so that the connection is not silent."""
    hidden = GenerationRequest("a", "hi", Sampling(4), model="m", thinking=Thinking(is_shown=False))
    events: list[Event] = [Thought("Hm."), Text("Yes."), ENDS]
    writer = ChatCompletionWriter(Header(hidden, lambda: STATUS))
    parts = [writer.part(event) for event in events]
    assert parts[0] == SILENCE
    assert b"reasoning_content" not in b"".join(parts)
    answers, cost = whole_answers(events)
    message = json.loads(writer.whole(answers, cost))["choices"][0]["message"]
    assert "reasoning_content" not in message
    assert message["content"] == "Yes."
