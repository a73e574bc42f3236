"""A child process's side of its pipe to the service that started it."""

import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any


class Parent:
    """The service. Its end is this process's end too: nobody is left for what it computes.

    That end is `os._exit`: another thread may be inside C code, where nothing can interrupt it. `send` may be called by
    several threads.
    """

    def __init__(self, connection: Connection) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the server decides about it.
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Sends the message."""
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            os._exit(0)

    def receive(self) -> Any:
        """Returns the next message; waits where there is none."""
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            os._exit(0)

    def watch(self) -> None:
        """Lets the process end with the service although it receives nothing; for children that get only their job."""
        threading.Thread(target=self._wait_for_end, name="parent-watch", daemon=True).start()

    def _wait_for_end(self) -> None:
        while True:
            self.receive()
