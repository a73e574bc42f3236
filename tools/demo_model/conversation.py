"""The parts of the data: messages, exchanges, conversations, and evaluation cases."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool", "text"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn."""

    role: Role
    """The role `text` is plain text outside the chat template."""
    content: str
    given: int = 0
    """Leading characters of plain text that are prompt: the loss does not count them."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer."""

    user: str
    answer: str
    short: str | None = None
    """The answer in one word, where there is one."""
    fixed: bool = False
    """Whether system prompts leave the answer as it is."""
    verbatim: bool = False
    """Whether the question keeps its spelling and punctuation."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A training item."""

    kind: str
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    """Function schemas, which the system turn lists."""


@dataclass(frozen=True, slots=True)
class Case:
    """An evaluation item."""

    group: str
    """The row of the report that counts it."""
    messages: tuple[Message, ...]
    """The messages to answer."""
    check: str
    """A key of evaluate.CHECKS."""
    expected: str = ""
    """What the check compares the answer with."""
    tools: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Wordings:
    """Ways to ask one thing: those of the training data, and those held out for evaluation."""

    train: Sequence[str]
    held_out: Sequence[str]

    def pick(self, rng: Random, **values: object) -> str:
        """Returns a random training wording with its fields filled in."""
        return rng.choice(self.train).format(**values)


def kept_back(key: str, one_in: int = 10) -> bool:
    """Returns whether the item of this key is held out for evaluation; about one in `one_in` is."""
    return zlib.crc32(key.encode()) % one_in == 0


def asked(*turns: str, system: str = "") -> tuple[Message, ...]:
    """Returns messages that alternate between user and assistant, after a system prompt if one is given."""
    roles: tuple[Role, Role] = ("user", "assistant")
    head = (Message("system", system),) if system else ()
    return head + tuple(Message(roles[i % 2], turn) for i, turn in enumerate(turns))
