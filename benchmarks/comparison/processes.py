"""A server's processes: start, readiness, memory and end."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.comparison.http_stream import read_head, request
from tests.e2e.service import descendants

LONGEST_START = 300.0
"""Seconds."""
_LONGEST_STOP = 30.0
_POLL = 0.02
_LONGEST_REASON = 160


class StartError(Exception):
    """The server ended before it was ready, or was never ready; the text is the last line that it said."""


class ServerProcess:
    """The process that a command line starts, with its descendants."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self._log = process, log
        self.started = time.perf_counter()

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], log: Path, *, talks: bool = False
    ) -> "ServerProcess":
        """Starts a command whose output goes to the log; the standard output of one that talks can be read instead."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                cwd=log.parent,
                stdin=asyncio.subprocess.PIPE if talks else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if talks else output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process, log)

    async def wait(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Returns when it is ready.

        Raises:
            StartError: It ended, or is not ready after LONGEST_START seconds.
        """
        while not await is_ready():
            if self.process.returncode is not None:
                raise StartError(self._last_words())
            if time.perf_counter() - self.started > LONGEST_START:
                raise StartError(f"not ready after {LONGEST_START:.0f} s")
            await asyncio.sleep(_POLL)

    def memory(self) -> int:
        """Returns the bytes of all its processes; of a page that several have, each has its share (PSS)."""
        return sum(map(_proportional_bytes, (self.process.pid, *descendants(self.process.pid))))

    def processor_ticks(self) -> int:
        """Returns the processor time of all its processes so far, in the kernel's ticks."""
        return sum(map(_ticks, (self.process.pid, *descendants(self.process.pid))))

    async def stop(self) -> None:
        """Ends the process as its operator would, and kills what is left of it after a time."""
        family = [self.process.pid, *descendants(self.process.pid)]
        if self.process.stdin:
            self.process.stdin.close()
        with suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), _LONGEST_STOP)
        except TimeoutError:
            for pid in reversed(family):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await self.process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:_LONGEST_REASON] if said else f"ended with status {self.process.returncode}"


async def answers_ok(port: int, path: str) -> bool:
    """Returns whether a server answers a GET with 200."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request("GET", path))
            return (await read_head(reader)).status == 200
        finally:
            writer.close()
    except OSError:
        return False


def _proportional_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _ticks(pid: int) -> int:
    with suppress(OSError):
        # The name, in parentheses, may have spaces; utime and stime are the 14th and 15th field (proc_pid_stat(5)).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0
