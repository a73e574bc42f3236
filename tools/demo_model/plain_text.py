"""Texts outside the chat template, for the service's raw Generate call."""

from random import Random

from . import arithmetic, copying, explanations, facts, haiku, refusals, service, stories, trivia
from .conversation import Case, Conversation, Message


def _story(rng: Random) -> tuple[str, str]:
    text = stories.story(rng).text
    return "", text


def _question(rng: Random) -> tuple[str, str]:
    asking = rng.choice(
        (
            facts.capital,
            facts.opposite,
            arithmetic.calculation,
            service.talk,
            haiku.haiku,
            facts.colour,
            refusals.refusal,
            service.greeting,
            stories.request,
            trivia.trivia,
        )
    )
    exchange = asking(rng)[0]
    return exchange.user, rng.choice(("\n\n", "\n")) + exchange.answer


def _statement(rng: Random) -> tuple[str, str]:
    country, city = rng.choice(list(facts.CAPITALS.items()))
    a, b = arithmetic.draw(rng, "+")
    thing, colour = rng.choice(list(facts.COLOURS.items()))
    return rng.choice(
        (
            (f"The capital of {country} is", f" {city}."),
            (f"{thing[0].upper()}{thing[1:]} is", f" {colour}."),
            (f"{a}+{b}=", f"{a + b}"),
            (f"{a} + {b} =", f" {a + b}"),
        )
    )


def _poem(rng: Random) -> tuple[str, str]:
    return "", haiku.poem(rng, rng.choice(list(haiku.POEMS)))


def conversation(rng: Random) -> Conversation:
    """Returns one plain text; the loss does not count its prompt part, if any."""
    make = rng.choices((_story, explanations.plain, _question, _statement, _poem), (35, 25, 25, 10, 5))[0]
    prompt, rest = make(rng)
    return Conversation("plain text", (Message("text", prompt + rest, given=len(prompt)),))


def practice(rng: Random) -> Conversation:
    """Returns a text to repeat, or to look values up in."""
    given, rest = rng.choice((copying.copies, copying.lookups))(rng)
    return Conversation("practice", (Message("text", given + rest, given=len(given)),))


def sheet(rng: Random) -> Conversation:
    """Returns a sheet of solved calculations."""
    return Conversation("sheets", (Message("text", arithmetic.sheet(rng)),))


def cases() -> list[Case]:
    """Returns openings of stories, statements to complete and requests for explanations."""
    openings = (
        "Once upon a time",
        "Once upon a time, there was a",
        "A long time ago",
        "Once upon a time there lived a small",
    )
    prompts = [(opening, "story", "") for opening in openings for _ in range(5)]
    prompts += [
        (f"The capital of {country} is", "contains", city) for country, city in list(facts.CAPITALS.items())[:20]
    ]
    prompts += [
        (wording.format(x=topic), "contains", explanations.TOPICS[topic][0][:40])
        for topic in list(explanations.TOPICS)[:10]
        for wording in (explanations.EXPLAIN.train[0], explanations.EXPLAIN.held_out[0])
    ]
    return [Case("plain text", (Message("text", prompt),), check, expected) for prompt, check, expected in prompts]
