"""The first minute of a newcomer, on the shipped file."""

import pytest

from llm_inference_api.demo import MODEL_PATH
from tests.fakes.llama import Llama, load_oracle


@pytest.fixture(scope="module")
def model() -> Llama:
    return load_oracle(MODEL_PATH, n_ctx=1024, n_threads=1)


def chat(model: Llama, *turns: str) -> tuple[str, str]:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]
    choice = model.create_chat_completion(messages, temperature=0.0, max_tokens=512)["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


def test_two_and_two(model: Llama) -> None:
    assert chat(model, "What is 2+2?") == ("The answer is 4.", "stop")


def test_a_haiku_has_three_lines(model: Llama) -> None:
    text, reason = chat(model, "Write a haiku about coding.")
    assert len(text.splitlines()) == 3
    assert reason == "stop"


def test_the_second_turn_uses_the_first(model: Llama) -> None:
    text, _ = chat(model, "My name is Ana.", "Nice to meet you, Ana!", "What is my name?")
    assert text == "Your name is Ana."


def test_a_plain_prompt_continues_and_stops(model: Llama) -> None:
    choice = model.create_completion("Once upon a time", temperature=0.0, max_tokens=512)["choices"][0]
    assert choice["text"].count(".") >= 4
    assert choice["finish_reason"] == "stop"
