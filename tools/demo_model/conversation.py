"""What the data is made of: exchanges, conversations, and the cases that are kept back for evaluation."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool", "text"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; the role `text` is plain text outside the chat template, whose first `given` characters are prompt."""

    role: Role
    content: str
    given: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer.

    `short` is the one-word answer. A `fixed` answer takes no tone, and a `verbatim` question is never typed carelessly.
    """

    user: str
    answer: str
    short: str | None = None
    fixed: bool = False
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A training item; `tools` are the function schemas that its system block lists."""

    kind: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """An evaluation item: the messages to answer, and the check, by name, that the answer must pass."""

    group: str
    messages: tuple[Message, ...]
    check: str
    expected: str = ""
    tools: tuple[dict[str, Any], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Wordings:
    """Ways to ask one thing, with some that training never sees."""

    train: Sequence[str]
    held_out: Sequence[str]

    def pick(self, rng: Random, **values: object) -> str:
        """Return a training wording, filled in."""
        return rng.choice(self.train).format(**values)


def kept_back(key: str, one_in: int = 10) -> bool:
    """Return whether the item of this key belongs to the evaluation; about one in `one_in` does."""
    return zlib.crc32(key.encode()) % one_in == 0


def asked(*turns: str, system: str = "") -> tuple[Message, ...]:
    """Return messages that alternate user and assistant, after an optional system prompt."""
    roles: tuple[Role, Role] = ("user", "assistant")
    head = (Message("system", system),) if system else ()
    return head + tuple(Message(roles[i % 2], turn) for i, turn in enumerate(turns))
