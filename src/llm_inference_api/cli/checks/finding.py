"""What a check found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    verdict: Literal["ok", "advice", "problem"]
    """Whether it is fine, could be better, or keeps the service or a model from running."""
    subject: str
    """What was looked at, in a word."""
    says: str
    """What is there."""
    todo: str = ""
    """What to do about it."""
