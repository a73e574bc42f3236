"""Texts to repeat and to look values up in: dense practice in reading the context.

Without it a model of this size memorises answers for millions of tokens before it learns to read the question.
"""

from random import Random

from .conversation import Exchange
from .facts import SPELLED
from .memory import CITIES, COLOURS, FOODS, PETS, name

WORDS = (*SPELLED, *COLOURS, *FOODS, *PETS, *CITIES)


def item(rng: Random) -> str:
    """Returns a word, a name or a number."""
    chance = rng.random()
    if chance < 0.35:
        return rng.choice(WORDS)
    return name(rng) if chance < 0.6 else str(rng.randrange(rng.choice((10, 100, 100, 1000))))


def copies(rng: Random) -> tuple[str, str]:
    """Returns a row of items and the same row again, once or twice."""
    row = rng.choice((" ", ", ", "; ", "\n")).join(item(rng) for _ in range(rng.randint(3, 12)))
    return row, "".join(f"\n\n{row}" for _ in range(rng.randint(1, 2)))


def lookups(rng: Random) -> tuple[str, str]:
    """Returns a list of names with values, and the same pairs in another order."""
    pairs = [f"{name(rng)}: {item(rng)}" for _ in range(rng.randint(3, 8))]
    return "\n".join(pairs), "\n\n" + "\n".join(rng.sample(pairs, len(pairs)))


def repeat(rng: Random) -> list[Exchange]:
    """Returns a request to say something again."""
    row = " ".join(item(rng) for _ in range(rng.randint(1, 6)))
    user = rng.choice(
        ("Repeat: {x}", "Repeat after me: {x}", "Say {x}", "Say this again: {x}", "Echo {x}", "Write {x}")
    )
    return [Exchange(user.format(x=row), row, fixed=True, verbatim=True)]
