"""A program that is bound to its parent."""

import os
import signal
import subprocess
import sys

import pytest

from llm_inference_api.processes import bound

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
WAIT = "import sys; print('up', flush=True); sys.stdin.read()"


def launched(parent: str, *program: str) -> list[str]:
    """Returns the command line that starts the program bound to a parent, given as a Python expression."""
    command = [sys.executable, "-I", "-S", bound.__file__]
    code = f"import os, subprocess; subprocess.Popen([*{command}, str({parent}), *{list(program)}]).wait()"
    return [sys.executable, "-c", code]


def test_program_is_killed_with_its_parent() -> None:
    """However the parent ends: the program's end of a pipe is closed, which only its exit can do."""
    command = launched("os.getpid()", sys.executable, "-c", WAIT)
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipe) as parent:  # type: ignore[call-overload]
        assert parent.stdout.read(3) == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
        assert parent.stdout.read() == b""


def test_program_whose_parent_has_gone_is_not_started() -> None:
    """The parent exited between the start of this process and the call that binds it."""
    done = subprocess.run(
        launched("1", sys.executable, "-c", "print('up')"), capture_output=True, check=True, timeout=60
    )
    assert done.stdout == b""
