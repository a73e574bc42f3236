"""Processes of servers."""

import sys
from pathlib import Path

import pytest

from benchmarks.comparison.processes import ServerProcess, StartError


async def python(program: str, directory: Path) -> ServerProcess:
    """A process that talks, with this program."""
    return await ServerProcess.start((sys.executable, "-c", program), {}, directory / "log", talks=True)


async def not_ready() -> bool:
    return False


async def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    """By the last line of its log."""
    process = await python("import sys; print('loading', file=sys.stderr); sys.exit('cannot read the file')", tmp_path)
    with pytest.raises(StartError, match="cannot read the file"):
        await process.wait(not_ready)
    await process.stop()


async def test_memory_and_time_are_of_all_processes(tmp_path: Path) -> None:
    """Of a child that has 64 MiB too."""
    child = "x = b'x' * 2**26; print('ready', flush=True); input()"
    process = await python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])", tmp_path)
    assert process.process.stdout is not None
    assert await process.process.stdout.readline() == b"ready\n"
    assert process.memory() > 2**26
    assert process.processor_ticks() > 0
    await process.stop()
    assert process.process.returncode is not None


async def test_what_has_ended_has_no_memory(tmp_path: Path) -> None:
    """And can be stopped again."""
    process = await python("", tmp_path)
    await process.process.wait()
    assert process.memory() == process.processor_ticks() == 0
    await process.stop()
