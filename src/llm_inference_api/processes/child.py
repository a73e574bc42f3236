"""The service's handle on a child process: start it, exchange messages over a pipe, kill it.

End of file on the pipe means that the other process has exited.
"""

import asyncio
import atexit
import logging
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from typing import Any, NamedTuple

from llm_inference_api.processes.stop_signals import inherited_blocked

Target = Callable[[Connection, Any], None]
"""Entry point of the child; called with its side of the pipe and the job."""
Messages = asyncio.Queue[Any]
"""The child's messages in order; the last item is `Exited`."""

_EXIT_WAIT = 5.0
"""Seconds between the end of the pipe and a kill, if the child has not exited by itself."""
_KILL_WAIT = 5.0
"""Seconds to wait for a killed process; one in an uninterruptible system call takes longer."""
_END = object()
"""Sentinel in the outbox that stops the writer thread."""

logger = logging.getLogger(__name__)


class Exited(NamedTuple):
    """Last item of `Messages`: the child has exited."""

    how: str
    """Human-readable, such as `exit code 1`."""


class ChildProcess:
    """One spawned process and its duplex pipe. Not thread-safe: call all methods on the event loop's thread.

    One thread starts the process, reads its messages and waits for its exit; another one writes. So the loop never
    blocks on a child that does not read or does not exit.
    """

    def __init__(
        self, target: Target, job: object, name: str, on_message: Callable[[Any], None], on_exit: Callable[[str], None]
    ) -> None:
        """Creates the handle; the process is started by `start`. Both callbacks run in the event loop.

        Args:
            target: Entry point of the child.
            job: Picklable argument of the target.
            name: Name of the process and its threads, for logs.
            on_message: Called with each message of the child, in order.
            on_exit: Called last, with a human-readable cause; not called if the process could not be started.
        """
        self.gone = asyncio.Event()
        """Set when the process has exited, just before `on_exit` is called."""
        self._spawn = partial(spawn, target, job, name)
        self._name = name
        self._on_message = on_message
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] | None = None
        self._process: SpawnProcess | None = None
        self._pid: int | None = None
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._killed = False
        self._cause = ""

    @property
    def pid(self) -> int | None:
        """Process id, also after the exit; None before the process is started."""
        return self._pid

    async def start(self) -> None:
        """Starts the process; may be called once.

        Raises:
            OSError: The system cannot create the process or the pipe.
            RuntimeError: The system cannot create a thread.
        """
        self._started = self._loop.create_future()
        threading.Thread(target=self._follow, name=f"{self._name}-reader", daemon=True).start()
        await asyncio.shield(self._started)

    def send(self, message: object) -> None:
        """Queues a message; it is dropped if the process has exited."""
        self._outbox.put(message)

    def kill(self, cause: str = "") -> None:
        """Kills the process now, or as soon as it is started. `on_exit` gets the first non-empty cause."""
        self._killed = True
        self._cause = self._cause or cause
        if self._process is not None:
            self._process.kill()

    async def close(self) -> None:
        """Kills the process, if it was started, and waits for its exit.

        Logs an error and returns if it has not exited within `_KILL_WAIT` seconds.
        """
        if self._started is None:
            return
        self.kill()
        await asyncio.wait({self._started})
        if self._started.exception() is not None:
            return
        try:
            async with asyncio.timeout(_KILL_WAIT):
                await self.gone.wait()
        except TimeoutError:
            logger.error("%s (process %s) has not exited %g s after it was killed", self._name, self.pid, _KILL_WAIT)  # noqa: TRY400 - the traceback only shows this wait

    def _follow(self) -> None:
        """Body of the reader thread: from the start of the process to its exit."""
        assert self._started is not None
        try:
            process, connection = self._launch()
        except Exception as error:
            self._tell(self._refuse_start, error)
            return
        self._tell(self._started.set_result, None)
        self._read(connection)
        self._outbox.put(_END)
        self._tell(self._end, _reap(process))

    def _launch(self) -> tuple[SpawnProcess, Connection]:
        process, connection = self._spawn()
        self._process, self._pid = process, process.pid
        if self._killed:  # `kill` was called before the process existed.
            process.kill()
        writer = (connection, self._outbox)
        try:
            threading.Thread(target=_write, args=writer, name=f"{self._name}-writer", daemon=True).start()
        except RuntimeError:  # The system cannot create a thread.
            process.kill()
            process.join()
            raise
        return process, connection

    def _read(self, connection: Connection) -> None:
        """Forwards messages until the child closes the pipe or the event loop is closed."""
        try:
            while self._tell(self._on_message, connection.recv()):
                pass
        except (EOFError, OSError):
            return
        except Exception:
            logger.exception("%s sent a message that cannot be unpickled; its process is stopped", self._name)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> bool:
        """Schedules a callback in the event loop; returns False if the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
            return False
        return True

    def _refuse_start(self, error: Exception) -> None:
        assert self._started is not None
        self._started.set_exception(error)
        self._started.exception()  # Marks it as retrieved: without an awaiter, asyncio would log it as unhandled.

    def _end(self, exit_code: int | None) -> None:
        assert self._process is not None
        self._process.close()  # Else it keeps two pipes until the garbage collector finds it.
        self._process = None
        self.gone.set()
        killed_by_us = bool(self._cause) and exit_code == -signal.SIGKILL
        self._on_exit(self._cause if killed_by_us else _describe_exit(exit_code))


@asynccontextmanager
async def running(target: Target, job: object, name: str) -> AsyncIterator[Messages]:
    """Runs a child within the block, without messages to it, and kills it at the end. Yields the child's messages."""
    messages = Messages()
    child = ChildProcess(target, job, name, messages.put_nowait, lambda how: messages.put_nowait(Exited(how)))
    try:
        await child.start()
        yield messages
    finally:
        await child.close()


_standbys: dict[Target, tuple[SpawnProcess, Connection]] = {}
"""Children that wait for their job, by their target."""


def stand_by(target: Target, waiting: Callable[[Connection, None], None]) -> None:
    """Starts a child before its job is known: `waiting` prepares, receives the job and calls the target with it.

    The next child of this target is that one. Raises OSError if it cannot be started.
    """
    _standbys[target] = _spawned(waiting, None, "standby")


def dismiss_standby(target: Target) -> None:
    """Ends the child that waits for a job of this target, if there is one."""
    if (waiting := _standbys.pop(target, None)) is not None:
        process, connection = waiting
        process.kill()
        process.join()
        connection.close()


def spawn(target: Target, job: object, name: str) -> tuple[SpawnProcess, Connection]:
    """Spawns the child, unless one stands by; returns its process and the parent's side of the pipe."""
    if (waiting := _standbys.pop(target, None)) is not None:
        process, connection = waiting
        try:
            connection.send(job)
        except OSError:  # It has ended.
            connection.close()
        else:
            return process, connection
    return _spawned(target, job, name)


def _spawned(target: Callable[[Connection, Any], None], job: object, name: str) -> tuple[SpawnProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with theirs:
        process = context.Process(target=target, args=(theirs, job), name=name, daemon=True)
        with inherited_blocked():
            process.start()
    return process, ours


def _kill_left() -> None:
    """Kills the children that are left when the interpreter exits.

    `multiprocessing` would send them SIGTERM, which they ignore, and wait for them.
    """
    for process in multiprocessing.active_children():
        process.kill()


atexit.register(_kill_left)  # After the import of multiprocessing.util, so that it runs before that one's.


def _write(connection: Connection, outbox: SimpleQueue[Any]) -> None:
    """Body of the writer thread: writes messages until `_END`, then closes the pipe."""
    with connection:
        while (message := outbox.get()) is not _END:
            with suppress(OSError):  # The reader thread sees the end of the pipe too and reports it.
                connection.send(message)


def _reap(process: SpawnProcess) -> int | None:
    """Waits for the exit of a child that has closed its pipe, kills it after `_EXIT_WAIT`; returns the exit code."""
    process.join(_EXIT_WAIT)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def _describe_exit(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return f"killed by signal {-code}, by the out-of-memory killer or a user"
    if code is not None and code < 0:
        return f"killed by signal {-code}"
    return f"exit code {code}"
