"""The table of llama-server's cases: which are foreign here, and why those that fail do."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

PATH = Path(__file__).with_name("cases.toml")
Kind = Literal["foreign", "model", "differs"]


@dataclass(frozen=True)
class Entry:
    """Cases of one kind for one reason."""

    kind: Kind
    reason: str
    cases: tuple[str, ...]
    """Beginnings of test ids: a file, a function, or a function with the first of its parameters."""

    @property
    def runs(self) -> bool:
        """Whether the cases are run: those that concern what is served here are, also where they fail."""
        return self.kind == "differs"

    def names(self, case: str) -> bool:
        """Returns whether the case is one of these."""
        return any(case == named or case.startswith(_ends(named)) for named in self.cases)


def _ends(named: str) -> tuple[str, ...]:
    """Returns what a name has to be followed by, so that `test_a` does not name `test_a_b`; parameters may be cut."""
    return (named,) if "[" in named else (f"{named}::", f"{named}[")


class Table:
    """All entries; a case that none names concerns what is served here, and passes."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self.entries = entries

    @classmethod
    def read(cls) -> Self:
        """Returns the table of `cases.toml`."""
        table = tomllib.loads(PATH.read_text())
        kinds: tuple[Kind, ...] = ("foreign", "model", "differs")
        return cls(
            tuple(Entry(kind, row["reason"], tuple(row["cases"])) for kind in kinds for row in table.get(kind, ()))
        )

    def find(self, node_id: str) -> Entry | None:
        """Returns the entry of a case, by pytest's id, or None for one that has to pass."""
        case = node_id.removeprefix("unit/")
        return next((entry for entry in self.entries if entry.names(case)), None)
