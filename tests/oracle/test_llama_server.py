"""llama-server's own tests, run against this service through an adapter: `make oracle`."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.oracle.material import edited_copy
from tests.oracle.plugin import RECORD
from tests.oracle.table import Entry, Table

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(0)]

ENOUGH = 0.95
"""Part of the cases that concern what is served here which has to pass."""
CHOSEN = "ORACLE_CASES"
"""Environment variable with a pytest expression (-k) that chooses cases; the table is not held to it then."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Case:
    """What became of one case."""

    name: str
    passed: bool
    error: str
    entry: Entry | None


def test_cases_that_concern_what_is_served_here_pass(tmp_path: Path) -> None:
    """95 % of them; each other one is explained in `cases.toml`, and each explained one fails."""
    cases = _run(edited_copy(tmp_path / "llama.cpp"), tmp_path / "record", os.environ.get(CHOSEN))
    served = [case for case in cases if case.entry is None or case.entry.runs]
    passed = [case for case in served if case.passed]
    print(_summary(cases, served))
    unexplained = [f"{case.name}: {case.error}" for case in served if not case.passed and case.entry is None]
    assert not unexplained, "\n".join(["failed without an explanation:", *unexplained])
    if not os.environ.get(CHOSEN):
        outdated = [case.name for case in served if case.passed and case.entry is not None]
        assert not outdated, "\n".join(["explained as failing, but passed:", *outdated])
        assert len(passed) >= ENOUGH * len(served)


def _run(directory: Path, record: Path, chosen: str | None) -> list[Case]:
    """Returns the cases with what became of them, once they have run in a pytest of their own."""
    (directory / "pytest.ini").write_text("[pytest]\naddopts =\n")
    record.touch()
    options = ("-q", "-p", "tests.oracle.plugin", "-p", "no:cacheprovider", "-p", "no:randomly", "--timeout=300")
    command = (sys.executable, "-m", "pytest", *options, *(("-k", chosen) if chosen else ()), "unit")
    paths = [str(ROOT), str(ROOT / "src"), str(ROOT / "generated"), str(directory)]
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), RECORD: str(record)}
    subprocess.run(command, cwd=directory, env=environment, check=False)
    table = Table.read()
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    found: dict[str, Case] = {}
    for line in lines:
        name = line["case"].removeprefix("unit/")
        known = found.get(name)
        passed = line["outcome"] == "passed" and (known is None or known.passed)
        found[name] = Case(name, passed, line["error"] or (known.error if known else ""), table.find(name))
    return list(found.values())


def _summary(cases: Sequence[Case], served: Sequence[Case]) -> str:
    kinds = Counter(case.entry.kind for case in cases if case.entry is not None)
    passed = sum(case.passed for case in served)
    rate = passed / len(served) if served else 1.0
    rows = [
        f"cases                                        {len(cases)}",
        f"  foreign: llama-server's own extensions     {kinds['foreign']}",
        f"  about the words of one large model         {kinds['model']}",
        f"  concern what is served here                {len(served)}",
        f"    passed                                   {passed} ({rate:.1%})",
        f"    failed, explained                        {sum(c.entry is not None and not c.passed for c in served)}",
        f"    failed, unexplained                      {sum(c.entry is None and not c.passed for c in served)}",
    ]
    entries = Counter(case.entry for case in cases if case.entry is not None)
    reasons = [f"{entry.kind:8} {count:4}  {entry.reason}" for entry, count in entries.items()]
    return "\n".join(["", *sorted(reasons), "", *rows])
