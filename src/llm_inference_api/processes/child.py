"""The service's handle on a child process: start it, exchange messages over a pipe, kill it.

End of file is a message too: for the child that the service is gone, for the service that the child is.
"""

import asyncio
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

Target = Callable[[Connection, Any], None]
"""Runs in the child, with its side of the pipe and the job."""
Messages = asyncio.Queue[Any]
"""What the child says, in order; `Exited` at the end."""

_EXIT_WAIT = 5.0
"""Seconds that a child may take to exit after it has closed its pipe."""
_KILL_WAIT = 5.0
"""Seconds that the system may take to end a killed process; one in a hung system call takes longer."""
_END = object()
"""In the outbox: nothing more is written."""

logger = logging.getLogger(__name__)


class Exited(NamedTuple):
    """In place of a message, as the last one: the child has exited."""

    how: str
    """For people, such as `exit code 1`."""


class ChildProcess:
    """One spawned process and both directions of its pipe. All methods belong to the event loop's thread.

    One thread starts the process, reads its messages and waits for its exit; another one writes. So the loop waits
    neither for a child that does not read nor for one that does not exit, and wakes once for each message.
    """

    def __init__(
        self, target: Target, job: object, name: str, on_message: Callable[[Any], None], on_exit: Callable[[str], None]
    ) -> None:
        """Takes callbacks for each message, in order, and then for the exit, described for people.

        The loop calls both. A process that could not be started has no exit.
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
        self._outbox: SimpleQueue[Any] = SimpleQueue()
        self._killed = False
        self._cause = ""

    @property
    def pid(self) -> int | None:
        """The process id, once there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts the process; may be called once. Raises OSError or RuntimeError where the system has no room."""
        self._started = self._loop.create_future()
        threading.Thread(target=self._follow, name=f"{self._name}-reader", daemon=True).start()
        await asyncio.shield(self._started)

    def send(self, message: object) -> None:
        """Sends the message after those before it; one to a process that is gone is lost, as the exit says."""
        self._outbox.put(message)

    def kill(self, cause: str = "") -> None:
        """Ends the process at once, or as soon as it is started. The first cause that is given describes its exit."""
        self._killed = True
        self._cause = self._cause or cause
        if self._process is not None:
            self._process.kill()

    async def close(self) -> None:
        """Kills the process, if it was started, and returns when it has exited.

        Returns too, and logs an error, where the system cannot end it within `_KILL_WAIT` seconds.
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
            logger.error("%s (process %s) was killed %g s ago and is still there", self._name, self.pid, _KILL_WAIT)  # noqa: TRY400 - where the loop waited says nothing

    def _follow(self) -> None:
        """Runs in a thread of its own, from the start of the process to its exit."""
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
        self._process = process
        if self._killed:  # By a call that saw no process yet.
            process.kill()
        writer = (connection, self._outbox)
        try:
            threading.Thread(target=_write, args=writer, name=f"{self._name}-writer", daemon=True).start()
        except RuntimeError:  # The system has no room for a thread.
            process.kill()
            process.join()
            raise
        return process, connection

    def _read(self, connection: Connection) -> None:
        """Returns when the child has closed the pipe, or the loop has ended."""
        try:
            while self._tell(self._on_message, connection.recv()):
                pass
        except (EOFError, OSError):
            return
        except Exception:
            logger.exception("%s sent what cannot be read; its process ends", self._name)

    def _tell(self, callback: Callable[..., object], *arguments: object) -> bool:
        """Lets the loop call back; returns False where it has ended, so that nobody is left to be told."""
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
        self._started.exception()  # Nobody may be left to be told: asyncio would complain of that.

    def _end(self, exit_code: int | None) -> None:
        self.gone.set()
        ours = bool(self._cause) and exit_code == -signal.SIGKILL
        self._on_exit(self._cause if ours else _describe_exit(exit_code))


@asynccontextmanager
async def running(target: Target, job: object, name: str) -> AsyncIterator[Messages]:
    """Runs a child that gets nothing but its job, and kills it at the end of the block. Yields its messages."""
    messages = Messages()
    child = ChildProcess(target, job, name, messages.put_nowait, lambda how: messages.put_nowait(Exited(how)))
    try:
        await child.start()
        yield messages
    finally:
        await child.close()


def spawn(target: Target, job: object, name: str) -> tuple[SpawnProcess, Connection]:
    """Starts the child, and returns it with the service's side of the pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with theirs:
        process = context.Process(target=target, args=(theirs, job), name=name, daemon=True)
        process.start()
    return process, ours


def _write(connection: Connection, outbox: SimpleQueue[Any]) -> None:
    """Runs in a thread of its own until `_END`, then closes the pipe, which nobody reads any more."""
    with connection:
        while (message := outbox.get()) is not _END:
            with suppress(OSError):  # The reader sees the end of the child too, and says so.
                connection.send(message)


def _reap(process: SpawnProcess) -> int | None:
    """Returns the exit code of a child whose pipe is at its end; one that does not exit by itself is killed."""
    process.join(_EXIT_WAIT)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {-code}" + (", for lack of memory or by hand" if code == -signal.SIGKILL else "")
    return f"exit code {code}"
