"""What a run has measured: written as JSON, and read by the table."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[str, str, str]
"""Workload, model and case."""
LIMIT = "limit"
"""The column of what llama.cpp computes at best."""


@dataclass(frozen=True)
class Measurement:
    """One measurement of one column."""

    workload: str
    model: str
    case: str
    column: str
    repeat: int
    figures: dict[str, float]

    @property
    def key(self) -> Key:
        """What was measured."""
        return self.workload, self.model, self.case


@dataclass(frozen=True)
class Gap:
    """Why a column has no figure of a case."""

    workload: str
    model: str
    case: str
    column: str
    reason: str

    @property
    def key(self) -> Key:
        """What was not measured."""
        return self.workload, self.model, self.case


@dataclass
class Results:
    """All of a run."""

    conditions: dict[str, Any]
    measurements: list[Measurement] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    limits: list[tuple[Key, float]] = field(default_factory=list)
    """Tokens per second."""

    def values(self, key: Key, column: str, figure: str) -> dict[int, float]:
        """Returns a figure by repetition; those that have none are left out."""
        return {
            each.repeat: each.figures[figure]
            for each in self.measurements
            if each.key == key and each.column == column and figure in each.figures
        }

    def ratio(self, key: Key, figure: str, columns: tuple[str, str]) -> float | None:
        """Returns the median of the first column's figure by the second one's, each pair of the same repetition."""
        over, under = (self.values(key, column, figure) for column in columns)
        quotients = [over[repeat] / under[repeat] for repeat in over.keys() & under.keys() if under[repeat]]
        return statistics.median(quotients) if quotients else None

    def reason(self, key: Key, column: str) -> str | None:
        """Returns why a column has no figure of a case; None if it was not asked for one."""
        return next((gap.reason for gap in self.gaps if gap.key == key and gap.column == column), None)

    def write(self, path: Path) -> None:
        """Writes all as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
