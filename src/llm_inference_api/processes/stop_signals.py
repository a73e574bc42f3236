"""Signals that ask the service to stop, which may reach its child processes too.

A terminal sends them to the process group, and a supervisor such as systemd to all processes of the service. Only the
service acts on them: its children are needed while it drains, and end with the pipe to it.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextmanager
def inherited_blocked() -> Iterator[None]:
    """Blocks the signals in this thread, and in processes that it spawns, until they call `ignore_stop_signals`."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        # The first spawn starts this process, and unblocks some of the signals in the thread afterwards.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_stop_signals() -> None:
    """Ignores the signals, including those that were blocked meanwhile. For the main thread."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
