"""Writes results as Markdown: a table for each model, a row for each figure, a column for each way to ask a server."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.comparison.peers import COLUMNS, GRPC, LLAMA_SERVER, V1
from benchmarks.comparison.results import LIMIT, Key, Results
from benchmarks.comparison.workloads import Case, Row, Workload

RATIO = "gRPC : llama-server"
_RATE = "rate"


def markdown(results: Results, workloads: Sequence[Workload], titles: Mapping[str, str]) -> str:
    """Returns all tables, with the conditions before and the reasons of gaps behind them.

    Args:
        results: What was measured.
        workloads: What was to be measured, in the order of the rows.
        titles: Models by their names, in the order of the tables.
    """
    notes: list[str] = []
    parts = [conditions(results)]
    for model, title in titles.items():
        rows = [line for work in workloads if work.model == model for line in _lines(results, work, notes)]
        if rows:
            parts.append(_table(title, rows))
    if notes:
        parts.append("\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)))
    return "\n\n".join(parts) + "\n"


def conditions(results: Results) -> str:
    """Returns a sentence about when, where and with what was measured."""
    said = "; ".join(f"{name}: {value}" for name, value in results.conditions.items() if value)
    return (
        f"{said}. Medians, with the least and the greatest in parentheses. The last column is the median of the "
        "quotients within each repetition, above 1 where the service is better, for times too."
    )


def _lines(results: Results, workload: Workload, notes: list[str]) -> Iterator[dict[str, str]]:
    """Yields the rows of a workload: cells by their columns' titles."""
    for case in workload.cases:
        key = (workload.name, workload.model, case.name)
        for row in case.rows:
            line = {"": row.title}
            for column in COLUMNS.values():
                if text := _cell(results, key, row, column.name, notes):
                    line[column.title] = text
            if row.figure == _RATE:
                if limit := dict(results.limits).get(key):
                    line[LIMIT] = number(limit, row.digits)
                elif reason := results.reason(key, LIMIT):
                    line[LIMIT] = _note(reason, notes)
            pair = (LLAMA_SERVER, GRPC) if row.is_less_better else (GRPC, LLAMA_SERVER)
            if ratio := results.ratio(key, row.figure, pair):
                line[RATIO] = number(ratio, 2)
            if len(line) > 1:
                yield line
        yield from _wires(results, key, case)


def _wires(results: Results, key: Key, case: Case) -> Iterator[dict[str, str]]:
    """Yields how the service does through Envoy beside its gRPC port, of one stream."""
    if case.streams == 1 and (ratio := results.ratio(key, _RATE, (V1, GRPC))):
        yield {"": "… through Envoy, as a part of gRPC", COLUMNS[V1].title: number(ratio, 2)}


def _cell(results: Results, key: Key, row: Row, column: str, notes: list[str]) -> str:
    values = list(results.values(key, column, row.figure).values())
    if values:
        middle = number(statistics.median(values), row.digits)
        if len(values) == 1:
            return middle
        return f"{middle} ({number(min(values), row.digits)}–{number(max(values), row.digits)})"
    reason = results.reason(key, column)
    if reason is None:
        measured = any(each.key == key and each.column == column for each in results.measurements)
        return "none" if measured else ""
    return _note(reason, notes)


def _note(reason: str, notes: list[str]) -> str:
    """Returns a cell that refers to a reason, which is noted once."""
    if reason not in notes:
        notes.append(reason)
    return f"no [{notes.index(reason) + 1}]"


def number(value: float, digits: int) -> str:
    """Returns a number with commas between thousands, and no more digits behind the point than its size needs."""
    return f"{value:,.{digits if abs(value) < 1000 else 0}f}"


def _table(title: str, rows: Sequence[Mapping[str, str]]) -> str:
    order = ["", *(column.title for column in COLUMNS.values()), LIMIT, RATIO]
    used = [name for name in order if any(name in row for row in rows)]
    lines = [
        f"| {' | '.join([title, *used[1:]])} |",
        "|" + "---|" * len(used),
        *(f"| {' | '.join(row.get(name, '') for name in used)} |" for row in rows),
    ]
    return "\n".join(lines)
