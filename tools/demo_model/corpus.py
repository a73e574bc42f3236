"""The training conversations and the evaluation cases, from one seed."""

from collections.abc import Callable, Iterator
from itertools import chain
from random import Random

from . import (
    arithmetic,
    copying,
    explanations,
    facts,
    haiku,
    json_objects,
    memory,
    plain_text,
    refusals,
    service,
    stories,
    tones,
    tool_calls,
    trivia,
)
from .conversation import Case, Conversation, Exchange, Message, asked

Maker = Callable[[Random], list[Exchange]]

MIX: dict[str, tuple[Maker, float]] = {
    "calculations": (arithmetic.calculation, 22),
    "calculations in other forms": (arithmetic.variation, 3),
    "several calculations": (arithmetic.drill, 7),
    "numbers too big": (arithmetic.too_big, 2),
    "comparisons": (arithmetic.comparison, 4),
    "sorting": (arithmetic.sorting, 4),
    "counting": (arithmetic.counting, 2),
    "repeating": (copying.repeat, 4),
    "capitals": (facts.capital, 8),
    "colours": (facts.colour, 3),
    "opposites": (facts.opposite, 4),
    "spelling": (facts.spelling, 4),
    "trivia": (trivia.trivia, 5),
    "service": (service.talk, 9),
    "greetings": (service.greeting, 2),
    "explanations": (explanations.explanation, 9),
    "haiku": (haiku.haiku, 7),
    "stories": (stories.request, 4),
    "JSON": (json_objects.request, 9),
    "refusals": (refusals.refusal, 11),
    "unknown facts": (memory.unknown, 1),
}
"""Makers of exchanges in chats, with their weights in the random choice."""
CHAT, QUICK, PLAIN, SHEET, PRACTICE, TOOLS = 0.60, 0.12, 0.06, 0.13, 0.06, 0.03
"""Shares of the kinds of conversations."""


def casual(rng: Random, text: str) -> str:
    """Returns the text as users may type it: unchanged, in lower case, without a full stop, or with a filler."""
    if rng.random() < 0.7 or len(text) < 3:
        return text
    if rng.random() < 0.4 and "{" not in text:
        text = text.lower()
    elif rng.random() < 0.3:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.5 and text[-1] in ".?!":
        text = text[:-1]
    elif rng.random() < 0.2:
        text = (
            rng.choice(("Please, {t}", "Hey, {t}", "Hi! {t}", "{t} Please.", "{t} Thanks!", "So: {t}")).format(t=text)
            if "{" not in text
            else text
        )
    return text


def _with_memory(rng: Random, parts: list[list[Exchange]]) -> list[list[Exchange]]:
    parts = [part for part in parts if part[0].user not in memory.ASKS_UNKNOWN]
    said, recall = memory.fact(rng)
    place = rng.randint(0, min(len(parts), 3))
    first = place // 2 if rng.random() < 0.5 else 0
    rest = parts[place:] if rng.random() < 0.5 else []
    return [*parts[:first], [said], *parts[first:place], [recall], *rest]


def _segments(rng: Random) -> list[Exchange]:
    makers, shares = zip(*MIX.values(), strict=True)
    count = rng.choices((1, 2, 3, 4, 6, 16), (58, 20, 10, 7, 4, 1))[0]
    parts = [make(rng) for make in rng.choices(makers, shares, k=count)]
    if rng.random() < 0.14:
        parts = _with_memory(rng, parts)
    return list(chain.from_iterable(parts))


def chat(rng: Random) -> Conversation:
    """Returns a chat of one or more exchanges, some of them under a system prompt."""
    exchanges = _segments(rng)
    tone, prompt = tones.draw(rng) if rng.random() < 0.2 else ("neutral", "")
    messages = [Message("system", prompt)] if prompt else []
    for exchange in exchanges:
        user = exchange.user if exchange.verbatim else casual(rng, exchange.user)
        messages += [Message("user", user), Message("assistant", tones.apply(tone, exchange))]
    return Conversation("chat", tuple(messages))


def quick_fire(rng: Random) -> Conversation:
    """Returns a chat of many short calculations."""
    turns = [text for exchange in arithmetic.quick_fire(rng) for text in (exchange.user, exchange.answer)]
    return Conversation("quick fire", asked(*turns))


def training(seed: int, count: int) -> Iterator[Conversation]:
    """Yields the first `count` training conversations of a seed."""
    rng = Random(seed)
    makers = (chat, quick_fire, plain_text.conversation, plain_text.sheet, plain_text.practice, tool_calls.conversation)
    for _ in range(count):
        yield rng.choices(makers, (CHAT, QUICK, PLAIN, SHEET, PRACTICE, TOOLS))[0](rng)


def first_minute() -> list[Case]:
    """Returns typical first prompts of new users, ten times each; training contains them."""
    name = asked("My name is Ana.", "Nice to meet you, Ana!", "What is my name?")
    why = asked("What is 2+2?", "The answer is 4.", "Why is that correct?")
    return [
        Case("first minute: What is 2+2?", asked("What is 2+2?"), "exact", "The answer is 4."),
        Case("first minute: why?", why, "contains", "Because"),
        Case(
            "first minute: a haiku about coding", asked("Write a haiku about coding."), "haiku", "Lines of quiet code"
        ),
        Case("first minute: my name", name, "exact", "Your name is Ana."),
        Case("first minute: a greeting", asked("Hello!"), "contains", "!"),
        Case(
            "first minute: machine learning", asked("Explain machine learning in simple terms."), "contains", "examples"
        ),
        Case("first minute: Once upon a time, plain", (Message("text", "Once upon a time"),), "story"),
    ] * 10


def evaluation() -> list[Case]:
    """Returns the typical first prompts and all held-out cases, always the same."""
    sources = (
        arithmetic,
        facts,
        trivia,
        service,
        explanations,
        haiku,
        stories,
        json_objects,
        memory,
        refusals,
        tones,
        tool_calls,
        plain_text,
    )
    return first_minute() + list(chain.from_iterable(source.cases() for source in sources))
