"""Two replicas behind their front are replaced again and again, beside the Python client with its defaults."""

from pathlib import Path

import pytest

from tests.e2e.replicas import ClientLoad, run_front, run_replicas

CALLS = 1000
CALLERS = 8


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_rolling_restarts_lose_none_of_a_thousand_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole and streamed; the last restart is a whole one."""
    restarts = 0
    with (
        run_replicas(tmp_path, 2) as replicas,
        run_front(tmp_path, replicas) as front,
        ClientLoad(front.address, CALLERS) as load,
    ):
        load.succeed(CALLERS)
        while len(load.outcomes) < CALLS:
            for replica in replicas:
                replica.restart()
                front.wait_for_healthy(2)
                restarts += 1
        load.succeed(CALLERS)
    streams = sum(outcome.began for outcome in load.outcomes)
    with capsys.disabled():
        print(f"\n{len(load.failures())} of {len(load.outcomes)} calls lost, {streams} streams, {restarts} restarts")  # noqa: T201
    assert load.failures() == []
