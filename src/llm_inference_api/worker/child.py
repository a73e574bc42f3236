"""A process for one piece of work on a model's files: it reports over a pipe, and can be ended whatever it does.

End of file is a message too: for the child that the service is gone, for the service that the child is.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

Target = Callable[[Connection, Any], None]
"""Runs in the child, with its side of the pipe and the job."""
Messages = asyncio.Queue[Any]
"""What the child says; None when it is gone."""


@asynccontextmanager
async def running(target: Target, job: object, name: str) -> AsyncIterator[Messages]:
    """Runs the child while the block does, and ends it whatever it does. The event loop waits for none of this."""
    messages = Messages()
    starting = asyncio.create_task(asyncio.to_thread(spawn, target, job, name))
    try:
        _, connection = await asyncio.shield(starting)
        relay = (asyncio.get_running_loop(), messages, connection)
        threading.Thread(target=_relay, args=relay, name=f"{name}-reader", daemon=True).start()
        yield messages
    finally:
        process, _ = await starting
        process.kill()
        await asyncio.to_thread(process.join)


def spawn(target: Target, job: object, name: str) -> tuple[SpawnProcess, Connection]:
    """Starts the child, and returns it with the service's side of the pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, job), name=name, daemon=True)
    process.start()
    theirs.close()
    return process, ours


def end_with_service(connection: Connection) -> None:
    """In the child: lets it end as soon as the service's side of the pipe is closed, and not by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the server decides what it means.
    threading.Thread(target=_wait_for_end, args=(connection,), daemon=True).start()


def _wait_for_end(connection: Connection) -> None:
    try:
        connection.recv()
    except (EOFError, OSError):
        os._exit(0)


def _relay(loop: asyncio.AbstractEventLoop, messages: Messages, connection: Connection) -> None:
    """Runs in a thread of its own until the child is gone."""
    with suppress(RuntimeError), connection:  # The loop has ended: nobody is left to tell.
        with suppress(EOFError, OSError):
            while True:
                loop.call_soon_threadsafe(messages.put_nowait, connection.recv())
        loop.call_soon_threadsafe(messages.put_nowait, None)
