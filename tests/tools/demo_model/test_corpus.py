"""The training data is reproducible and correct, and contains no held-out item."""

import json
import re
from itertools import pairwise
from random import Random

import pytest

from tools.demo_model import arithmetic, corpus, haiku
from tools.demo_model.conversation import Conversation, Message
from tools.demo_model.facts import CAPITALS

SAMPLE = 8_000
CALCULATION = re.compile(r"(?<![\d.])(\d+) ?([-+*]) ?(\d+) ?= ?(-?\d+)")


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return list(corpus.training(3, SAMPLE))


def prompts(conversations: list[Conversation]) -> set[str]:
    return {message.content for item in conversations for message in item.messages if message.role == "user"}


def answered(item: Conversation) -> list[tuple[Message, Message]]:
    return [(a, b) for a, b in pairwise(item.messages) if (a.role, b.role) == ("user", "assistant")]


def test_a_seed_gives_the_same_conversations() -> None:
    assert list(corpus.training(5, 300)) == list(corpus.training(5, 300))
    assert list(corpus.training(5, 300)) != list(corpus.training(6, 300))


def test_evaluation_does_not_change() -> None:
    assert corpus.evaluation() == corpus.evaluation()


def test_no_prompt_of_the_evaluation_is_trained_on(conversations: list[Conversation]) -> None:
    trained = {prompt.lower().rstrip(".?!") for prompt in prompts(conversations)}
    shared_on_purpose = ("tone", "recall", "two turns", "tool", "plain text", "first minute")
    kept = {
        case.messages[-1].content.lower().rstrip(".?!")
        for case in corpus.evaluation()
        if not case.group.startswith(shared_on_purpose)
    }
    assert not trained & kept


def test_no_held_out_pair_appears_in_any_text(conversations: list[Conversation]) -> None:
    texts = [message.content for item in conversations for message in item.messages]
    found = [match for text in texts for match in re.findall(r"\b(\d{1,2}) ?([-+]|plus|minus) ?(\d{1,2})\b", text)]
    assert len(found) > SAMPLE / 2
    signs = {"plus": "+", "minus": "-"}
    assert not [(a, s, b) for a, s, b in found if arithmetic.is_held_out(int(a), signs.get(s, s), int(b))]


def test_written_calculations_are_right(conversations: list[Conversation]) -> None:
    texts = [message.content for item in conversations for message in item.messages if message.role != "user"]
    found = [match for text in texts for match in CALCULATION.findall(text)]
    assert len(found) > SAMPLE / 4
    assert all(arithmetic.evaluate(int(a), sign, int(b)) == int(value) for a, sign, b, value in found)


def test_capitals_are_answered_right(conversations: list[Conversation]) -> None:
    found = [
        (match[1], match[2])
        for item in conversations
        for _, answer in answered(item)
        if (match := re.search(r"[Tt]he capital of (.+) (?:is|be) ([^.]+)\.", answer.content))
    ]
    assert len(found) > 100
    assert all(CAPITALS[country] == city for country, city in found)


def test_json_answers_are_valid(conversations: list[Conversation]) -> None:
    answers = [b.content for item in conversations for _, b in answered(item) if b.content[:1] in ("{", "[")]
    assert len(answers) > 100
    for text in answers:
        json.loads(text)


def test_every_haiku_has_three_lines() -> None:
    rng = Random(1)
    poems = [haiku.poem(rng, thing) for thing in haiku.POEMS] + list(haiku.STRANGE)
    assert all(poem.count("\n") == 2 for poem in poems)


def test_a_value_that_was_told_is_recalled(conversations: list[Conversation]) -> None:
    recalled = [
        (item, match[1])
        for item in conversations
        for _, answer in answered(item)
        if (match := re.search(r"^Your name is (\w+)\.$", answer.content))
    ]
    assert len(recalled) > 20
    assert all(
        any(name.lower() in m.content.lower() for m in item.messages if m.role == "user") for item, name in recalled
    )
