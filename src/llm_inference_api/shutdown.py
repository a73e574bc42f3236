"""Shutdown of the service's parts: each one is stopped, even if others fail or hang."""

import asyncio
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

Result = TypeVar("Result")
Stop = Callable[[], Coroutine[Any, Any, object]]

logger = logging.getLogger(__name__)


class Shutdown:
    """Async context manager that stops the added parts in reverse order when its block exits.

    A part that fails or times out does not prevent the others from being stopped. Each failure is logged with its
    traceback; the first one is raised at the end, unless the block itself has raised.
    """

    def __init__(self, limit: float) -> None:
        """Creates an empty shutdown.

        Args:
            limit: Stop timeout of each part, in seconds. A part that exceeds it is cancelled and fails with
                TimeoutError.
        """
        self._limit = limit
        self._stops = AsyncExitStack()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Stops all parts."""
        await self._stops.aclose()
        if error is None and self._failures:
            raise self._failures[0]

    def add(self, name: str, stop: Stop) -> None:
        """Adds a part. `name` identifies it in the log."""
        self._stops.push_async_callback(self._stop, name, stop)

    def add_blocking(self, name: str, stop: Callable[[], object]) -> None:
        """Adds a part whose stop blocks. It runs in a daemon thread, so a hanging one does not block process exit."""
        self.add(name, partial(in_daemon_thread, stop, f"stop {name}"))

    async def _stop(self, name: str, stop: Stop) -> None:
        try:
            await self._bounded(name, stop)
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise  # Cancelled from outside; AsyncExitStack still stops the remaining parts.
            self._note(name, error)
        except Exception as error:
            self._note(name, error)

    async def _bounded(self, name: str, stop: Stop) -> None:
        limit = asyncio.timeout(self._limit)
        try:
            async with limit:
                await stop()
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"{name}: not stopped within {self._limit:g} s") from error
            raise

    def _note(self, name: str, error: BaseException) -> None:
        logger.error("%s: could not be stopped", name, exc_info=error)
        self._failures.append(error)


async def all_stopped(*stops: Coroutine[Any, Any, object]) -> None:
    """Stops several parts concurrently. Once all have ended, raises the failures, if any, as a BaseExceptionGroup."""
    results = await asyncio.gather(*stops, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise BaseExceptionGroup("could not be stopped", failures)


def _is_cancelled() -> bool:
    """Returns whether the current task has been cancelled, as opposed to something that it awaits."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def in_daemon_thread(work: Callable[[], Result], name: str) -> Result:
    """Runs a blocking call in a daemon thread. Unlike those of `asyncio.to_thread`, it is not joined at exit."""
    done: Future[Result] = Future()
    done.set_running_or_notify_cancel()
    threading.Thread(target=_settle, args=(done, work), name=name, daemon=True).start()
    return await asyncio.wrap_future(done)


def _settle(done: "Future[Result]", work: Callable[[], Result]) -> None:
    try:
        result = work()
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(result)


def exit_within(seconds: float, code: int) -> None:
    """Ends the process with the exit code if it has not ended by itself in time.

    The interpreter waits at its exit for threads and child processes, and some cannot be ended: those that wait for a
    network file system that does not answer.
    """

    def exit_now() -> None:
        names = sorted(thread.name for thread in threading.enumerate() if not thread.daemon)
        children = [process.name for process in multiprocessing.active_children()]
        logger.error("the exit is held up; threads: %s; processes: %s", ", ".join(names), ", ".join(children) or "none")
        os._exit(code)

    timer = threading.Timer(seconds, exit_now)
    timer.daemon = True
    timer.start()
