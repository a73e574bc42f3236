"""Other projects' servers, each in a virtual environment of its own: they need other versions of packages than ours."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2] / ".venv-clients"
START_SECONDS = 300


def program(environment: str, name: str) -> Path:
    """Returns the path of a program in one of the virtual environments."""
    return ROOT / environment / "bin" / name


def needs(path: Path, reason: str) -> list[pytest.MarkDecorator]:
    """Returns the marks of tests that need a program."""
    return [
        pytest.mark.clients,
        pytest.mark.skipif(not path.exists(), reason=reason),
        pytest.mark.timeout(2 * START_SECONDS),
    ]


@contextmanager
def running(
    command: list[str], home: Path, url: str, *, ready: str, variables: Mapping[str, str]
) -> Iterator[httpx.Client]:
    """Yields a client of a server that runs in a directory of its own, with these variables alone.

    Args:
        command: The program and its arguments.
        home: The directory.
        url: Where it listens.
        ready: The path that answers with 200 once it serves.
        variables: Its environment.
    """
    home.mkdir(exist_ok=True)
    log_path = home / "log.txt"
    given = {"HOME": str(home), "PATH": os.defpath, **variables}
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, cwd=home, env=given, stdout=log, stderr=log, start_new_session=True)
    try:
        with httpx.Client(base_url=url, timeout=100) as client:
            _wait(process, client, ready, log_path)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # Nothing of it is kept.
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], client: httpx.Client, ready: str, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        assert process.poll() is None, f"it ended:\n{log_path.read_text()}"
        assert time.monotonic() < deadline, f"not ready within {START_SECONDS} s:\n{log_path.read_text()}"
        try:
            if client.get(ready).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
