"""A pytest plugin for the run of llama-server's tests: their `utils` is ours, and `cases.toml` says which cases run."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle import utils
from tests.oracle.table import Table

sys.modules["utils"] = utils
RECORD = "ORACLE_RECORD"
"""Environment variable with the path of the file that gets a line of JSON for each case."""


class Cases:
    """Leaves out what the table calls foreign, and records what became of the others."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._table = Table.read()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            entry = self._table.find(item.nodeid)
            if entry is not None and not entry.runs:
                item.add_marker(pytest.mark.skip(reason=entry.kind))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report = yield
        if report.when == "call" or report.outcome != "passed":
            error = str(call.excinfo.value)[:300] if call.excinfo and report.outcome == "failed" else ""
            line = {"case": item.nodeid, "outcome": report.outcome, "when": report.when, "error": error}
            with self._record.open("a") as file:
                file.write(json.dumps(line) + "\n")
        return report


@pytest.fixture(autouse=True)
def _stop_servers() -> Iterator[None]:
    yield
    utils.stop_all()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: needs a large model")
    config.addinivalue_line("markers", "serial: needs the machine for itself")
    config.pluginmanager.register(Cases(Path(os.environ[RECORD])))


def pytest_unconfigure() -> None:
    utils.close_services()
