"""The demo model with the defaults of all settings."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2
from tests.e2e.service import RunningService, inference, run_service
from tests.e2e.sse import read, text_of

QUESTIONS = (
    "Hello!",
    "What is 2+2?",
    "What is the capital of France?",
    "Write a haiku about coding.",
    "Explain machine learning in simple terms.",
    "Tell me a short story.",
    "What is the opposite of hot?",
    "Who won the football match last night?",
)


def ask(service: RunningService, *said: str, **fields: Any) -> dict[str, Any]:
    """Returns the answer to messages that alternate between user and assistant."""
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": text} for index, text in enumerate(said)]
    answer = httpx.post(f"{service.url}/api/chat", json={"messages": messages, **fields}, timeout=60)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def content(answer: dict[str, Any]) -> str:
    return str(answer["message"]["content"])


def test_two_and_two_is_four(demo: RunningService) -> None:
    """The README's first call answers sensibly at the default settings."""
    assert "4" in content(ask(demo, "What is 2+2?"))


def test_a_haiku_has_three_lines(demo: RunningService) -> None:
    """A haiku on request is one."""
    assert len(content(ask(demo, "Write a haiku about coding.")).strip().splitlines()) == 3


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_end_by_themselves(demo: RunningService, question: str) -> None:
    """At the default settings an answer ends with STOP, and says something."""
    answer = ask(demo, question)
    assert answer["finish_reason"] == "STOP"
    assert content(answer).strip()


def test_a_second_turn_uses_the_first(demo: RunningService) -> None:
    """The chat remembers what was said."""
    first = ask(demo, "My name is Anna.", temperature=0)
    second = ask(demo, "My name is Anna.", content(first), "What is my name?", temperature=0)
    assert "Anna" in content(second)


def test_text_does_not_depend_on_the_batch(demo: RunningService) -> None:
    """At temperature 0 a question of whose answer the model is sure has one answer, alone and beside others."""
    fields: dict[str, Any] = {"temperature": 0, "logprobs": True, "top_logprobs": 2}
    alone = {question: ask(demo, question, **fields) for question in QUESTIONS}
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        answers = list(pool.map(lambda question: ask(demo, question, **fields), QUESTIONS))
    together = dict(zip(QUESTIONS, answers, strict=True))
    sure = [question for question in QUESTIONS if margin(alone[question]) > CLEAR]
    assert len(sure) >= 5
    assert [content(together[question]) for question in sure] == [content(alone[question]) for question in sure]


CLEAR = 0.35
"""Twice what the order of sums, which batch and cache decide, was seen to change in the demo's log probabilities: its
weights and, while it computes, its activations have 8 bits."""


def margin(answer: dict[str, Any]) -> float:
    """Returns how far the best token was ahead of the next one where that was least."""
    pairs = [token["top_logprobs"] for token in answer["logprobs"]["tokens"]]
    return min(float(best["logprob"] - second["logprob"]) for best, second in pairs)


def test_a_seed_gives_its_text_again(tmp_path: Path) -> None:
    """The same request with the same seed has the same answer, on as many threads as there are by default.

    The service is a fresh one: where other tests have filled the cache, the request's cells may lie apart, and sums in
    another order turn a nearly equal choice.
    """
    with run_service(tmp_path, tmp_path, unset=("LLM_THREADS",), LLM_ALLOWED_MODELS="demo") as demo:
        fields: dict[str, Any] = {"seed": 11, "temperature": 1.2, "max_tokens": 20}
        ask(demo, "Tell me a short story.", **fields)  # The prompt is in the cache for both that follow.
        texts = {content(ask(demo, "Tell me a short story.", **fields)) for _ in range(2)}
    assert len(texts) == 1


def test_the_stream_is_the_whole_answer(demo: RunningService) -> None:
    """Deltas add up to what the unary call answers."""
    body = {"messages": [{"role": "user", "content": "Explain machine learning in simple terms."}], "temperature": 0}
    whole = httpx.post(f"{demo.url}/api/chat", json=body, timeout=60).json()
    with demo.http() as http:
        assert text_of(read(http, "/api/chat/stream", body)) == content(whole)


def test_a_stop_string_ends_the_answer(demo: RunningService) -> None:
    """The answer ends before the stop string, wherever its tokens part."""
    whole = content(ask(demo, "What is the capital of France?", temperature=0))
    cut = content(ask(demo, "What is the capital of France?", temperature=0, stop=["aris"]))
    assert "aris" in whole
    assert cut == whole.partition("aris")[0]


def test_a_system_message_changes_the_tone(demo: RunningService) -> None:
    """What the system says shows in the answer."""
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "What is the capital of France?"},
    ]
    pirate = httpx.post(f"{demo.url}/api/chat", json={"messages": messages, "temperature": 0}, timeout=60).json()
    assert content(pirate) != content(ask(demo, "What is the capital of France?", temperature=0))


def test_restricted_answers_are_what_they_must_be(demo: RunningService) -> None:
    """A JSON schema holds for the demo model too."""
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["n"],
        "additionalProperties": False,
    }
    answer = ask(demo, "What is 2+2?", json_schema=json.dumps(schema))
    assert set(json.loads(content(answer))) == {"n"}


def test_grpc_answers_the_same(demo: RunningService) -> None:
    """Both wires have one answer."""
    message = inference_pb2.ChatMessage(role="user", content="What is the capital of France?")
    with grpc.insecure_channel(demo.address) as channel:
        native = inference(channel).Chat(inference_pb2.ChatRequest(messages=[message], temperature=0))
    assert native.message.content == content(ask(demo, "What is the capital of France?", temperature=0))
