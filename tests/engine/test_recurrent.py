"""What is reused of earlier prompts does not change an answer of models that cannot take a sequence back."""

from pathlib import Path

import pytest

from llm_inference_api.requests.chat import Message
from tests.engine.in_process import Answer, InProcess
from tests.fakes.gguf import TEMPLATE
from tests.fakes.recurrent import ARCHITECTURES, WINDOWED, write_recurrent_model

CHATS, TURNS, TOKENS = 4, 4, 12
SYSTEM = Message("system", "The keeper writes down what he sees from the tower, hour by hour.")
STORE = 1 << 26
WINDOWS = ("window of 24", "window of 100")
"""Shorter than a block of the store of other models, and longer."""
TOLERANCE = 0.1
"""Of log probabilities: sums are made in another order where rows come in other batches."""


def write_model(kind: str, directory: Path) -> Path:
    path = directory / "model.gguf"
    if kind in WINDOWS:
        return write_recurrent_model(path, WINDOWED, keys={"attention.sliding_window": int(kind.rpartition(" ")[2])})
    return write_recurrent_model(path, kind)


def question(chat: int, turn: int) -> Message:
    return Message("user", f"What did he see on day {chat} at {turn} o'clock, and whom did he tell of it?")


def ask_alone(alone: InProcess, chat: list[Message]) -> Answer:
    """Returns the answer in a fresh context."""
    alone.clear()
    fresh = alone.chat(tuple(chat), TOKENS)
    alone.finish()
    assert fresh.cached == 0
    return fresh


def check_same(answer: Answer, fresh: Answer) -> None:
    """Compares the answers, up to where two tokens are as likely."""
    assert answer.error is None
    assert answer.tokens
    scored = zip(answer.tokens, fresh.tokens, answer.logprobs, fresh.logprobs, strict=False)
    for token, expected, logprob, expected_logprob in scored:
        assert logprob == pytest.approx(expected_logprob, abs=TOLERANCE)
        if token != expected:
            return
    assert answer.text == fresh.text


USUAL = ("mamba2", "rwkv7", "jamba", "falcon-h1", "lfm2", "qwen35", "kimi-linear", WINDOWS[0])
"""One of each kind of state; the others take seconds more."""
KINDS = [pytest.param(kind, marks=() if kind in USUAL else pytest.mark.fuzz) for kind in (*ARCHITECTURES, *WINDOWS)]


@pytest.mark.parametrize("kind", KINDS)
def test_interleaved_conversations_have_the_answers_of_a_fresh_context(kind: str, tmp_path: Path) -> None:
    """Two at a time, of four; the later turns reuse most of their prompts. One goes back to its first turn."""
    model = write_model(kind, tmp_path)
    engine = InProcess(model, slots=2, prefix_store=STORE)
    alone = InProcess(model, slots=1, prefix_store=0)
    chats = [[SYSTEM] for _ in range(CHATS)]
    for turn in range(TURNS):
        for pair in (chats[:2], chats[2:]):
            asked = []
            for chat in pair:
                chat.append(question(chats.index(chat), turn))
                asked.append(engine.chat(tuple(chat), TOKENS))
            engine.finish()
            for chat, answer in zip(pair, asked, strict=True):
                check_same(answer, ask_alone(alone, chat))
                assert answer.cached > (len(chat[-2].content) + len(chat[-3].content) if turn else -1)
                chat.append(Message("assistant", answer.text))
    edited = [*chats[1][:3], question(9, 9)]
    again = engine.chat(tuple(edited), TOKENS)
    engine.finish()
    check_same(again, ask_alone(alone, edited))
    assert again.cached > len(SYSTEM.content) + len(edited[1].content)


@pytest.mark.parametrize("kind", ["granitehybrid", "rwkv7", WINDOWS[0]])
def test_answers_to_one_prompt_are_those_of_a_fresh_context(kind: str, tmp_path: Path) -> None:
    """Three at once, of which all but the first reuse what it computes; another request is cancelled meanwhile."""
    model, chat = write_model(kind, tmp_path), [SYSTEM, question(0, 0)]
    engine = InProcess(model, slots=4, prefix_store=STORE)
    other = engine.chat((SYSTEM, question(1, 1)), 50)
    engine.step()
    answer = engine.chat(tuple(chat), TOKENS, n=3)
    for _ in range(4):
        engine.step()
    engine.engine.cancel("request 0")
    engine.finish()
    fresh = ask_alone(InProcess(model, slots=1, prefix_store=0), chat)
    assert answer.texts == dict.fromkeys(range(3), fresh.text)
    assert answer.cached > MIN_CACHED
    assert other.reason is None


MIN_CACHED = 100
"""Most of the prompt: a token is a byte."""


def test_next_turn_goes_on_before_what_the_template_begins_an_answer_with(tmp_path: Path) -> None:
    """Earlier answers are written without it."""
    opened = "<|assistant|>" + "(thinking of nothing)" * 3
    model = write_recurrent_model(
        tmp_path / "model.gguf", "lfm2", template=TEMPLATE.replace("{{ '<|assistant|>' }}", f"{{{{ {opened!r} }}}}")
    )
    engine, chat = InProcess(model, slots=1, prefix_store=STORE), [SYSTEM, question(0, 0)]
    engine.chat(tuple(chat), TOKENS)
    engine.finish()
    again = engine.chat((*chat, Message("assistant", "nothing"), question(0, 1)), TOKENS)
    engine.finish()
    assert again.cached > len(SYSTEM.content) + len(question(0, 0).content)


def test_one_sequence_at_a_time_where_llama_computes_several_wrongly(tmp_path: Path) -> None:
    """And no more seats than for it."""
    engine = InProcess(write_recurrent_model(tmp_path / "model.gguf", "plamo2"), slots=8)
    assert engine.info.slots == 1
