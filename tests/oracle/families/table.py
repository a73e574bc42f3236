"""The table of `cases.toml`: cases that are not about what is read here, and why others differ."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("cases.toml")


@dataclass(frozen=True)
class Entry:
    """Cases of one kind."""

    reason: str
    cases: frozenset[str]


def explanations(kind: str) -> dict[str, str]:
    """Returns the reasons of one kind, by the names of the cases: `reading`, `mask` or `rendering`."""
    entries = tomllib.loads(PATH.read_text()).get(kind, ())
    return {case: entry["reason"] for entry in entries for case in entry["cases"]}
