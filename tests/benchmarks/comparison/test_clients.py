"""What clients make of a server's answers."""

import json

import pytest

from benchmarks.comparison.answers import RefusedError, UnusableError
from benchmarks.comparison.clients import CompletionsClient, RestClient, UncountedCompletionsClient
from tests.benchmarks.comparison.http_server import answering, chunked


def sse(*events: object) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


TEXTS = [{"choices": [{"text": text}]} for text in ("a ", "b ", "ü")]
USAGE = {
    "choices": [],
    "usage": {"completion_tokens": 3, "prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}},
}


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_completions_are_read_however_they_are_cut(size: int) -> None:
    """Chunks end anywhere, within a character too."""
    async with answering(chunked(sse(*TEXTS, USAGE), size)) as (port, _):
        answer = await CompletionsClient(port, "m", "/health").ask("p", 3)
    assert (answer.text, answer.tokens, answer.prompt_tokens, answer.cached) == ("a b ü", 3, 9, 2)
    assert len(answer.arrivals) == 3
    assert answer.started <= answer.arrivals[0] <= answer.arrivals[-1] <= answer.ended


async def test_rest_answers_are_read() -> None:
    """They have no list of choices."""
    body = sse({"text": "a "}, {"progress": {}}, {"text": "b", "usage": {"completion_tokens": 2, "prompt_tokens": 4}})
    async with answering(chunked(body, 50)) as (port, requests):
        answer = await RestClient(port, "m", "/health/ready").ask("p", 2)
    assert (answer.text, answer.tokens, answer.prompt_tokens) == ("a b", 2, 4)
    assert requests[0].startswith(b"POST /api/generate/stream ")


async def test_texts_are_announced() -> None:
    """Once for each."""
    seen = []
    async with answering(chunked(sse(*TEXTS, USAGE), 100)) as (port, _):
        await CompletionsClient(port, "m", "/health").ask("p", 3, lambda: seen.append(1))
    assert len(seen) == 3


async def test_a_shorter_answer_is_unusable() -> None:
    """Its time would be too good."""
    async with answering(chunked(sse(*TEXTS, USAGE), 100)) as (port, _):
        with pytest.raises(UnusableError, match="3 tokens instead of 4"):
            await CompletionsClient(port, "m", "/health").ask("p", 4)


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
async def test_no_room_is_a_refusal(status: str) -> None:
    """Whichever way the server says it."""
    async with answering(chunked(b'{"error": "busy"}', 100, status)) as (port, _):
        with pytest.raises(RefusedError, match="busy"):
            await CompletionsClient(port, "m", "/health").ask("p", 3)


@pytest.mark.parametrize("response", [chunked(b"{}", 9, "400 Bad Request"), chunked(sse({"error": "x"}), 99), b""])
async def test_other_failures_are_unusable(response: bytes) -> None:
    """A refusal of the request, an error within the stream, a closed connection."""
    async with answering(response) as (port, _):
        with pytest.raises(UnusableError):
            await CompletionsClient(port, "m", "/health").ask("p", 3)


async def test_a_server_without_counts_says_that_the_answer_has_its_length() -> None:
    """By the finish reason; an answer that ended otherwise has an unknown length."""
    ended = {"choices": [{"text": "", "finish_reason": "length"}]}
    async with answering(chunked(sse(*TEXTS, ended), 100)) as (port, requests):
        answer = await UncountedCompletionsClient(port, "m", "/v1/models", {"logit_bias": {"2": -100}}).ask("p", 3)
    assert answer.tokens == 3
    assert b'"logit_bias": {"2": -100}' in requests[0]
    ended["choices"][0]["finish_reason"] = "stop"
    async with answering(chunked(sse(*TEXTS, ended), 100)) as (port, _):
        with pytest.raises(UnusableError):
            await UncountedCompletionsClient(port, "m", "/v1/models").ask("p", 3)


async def test_health_is_any_answer() -> None:
    """Of a path without a body too."""
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n") as (port, requests):
        await CompletionsClient(port, "m", "/health").health()
    assert requests[0].startswith(b"GET /health ")
