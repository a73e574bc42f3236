"""Texts of llguidance's errors for callers."""

import re

UNSATISFIABLE = "Unsatisfiable schema"
"""Part of llguidance's error for a schema under which no value is valid."""
COSTLY = "takes too long, or too much memory, to compile; simplify it"
"""The problem of a field whose grammar exceeds a limit of the service."""
_LONGEST = 500
"""Characters of llguidance's error in a message."""
_EXCERPT = re.compile(r"\n *\d+ \|")
"""Start of the grammar excerpt in llguidance's errors."""


def one_line(problem: str) -> str:
    """Returns llguidance's error on one line, without its excerpt of the grammar."""
    lines = [line.strip() for line in _EXCERPT.split(problem, maxsplit=1)[0].splitlines()]
    return " ".join(filter(None, lines))[:_LONGEST]


def reason(problem: str) -> str:
    """Returns llguidance's error as the problem of a field."""
    return f"cannot be followed: {one_line(problem)}"
