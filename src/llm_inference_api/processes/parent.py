"""A child process's side of the pipe to its parent."""

import os
import threading
from multiprocessing.connection import Connection
from typing import Any

from llm_inference_api.processes.stop_signals import ignore_stop_signals


class Parent:
    """Connection to the parent process. If the parent exits, so does this process.

    It exits by `os._exit`, since another thread may be in C code that cannot be interrupted. `send` is thread-safe.
    """

    def __init__(self, connection: Connection) -> None:
        ignore_stop_signals()
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Sends a message; ends this process if the parent has exited."""
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            os._exit(0)

    def receive(self) -> Any:
        """Waits for and returns the next message; ends this process if the parent has exited."""
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            os._exit(0)

    def watch(self) -> None:
        """Starts a thread that ends this process when the parent exits; for children that never call `receive`."""
        threading.Thread(target=self._wait_for_end, name="parent-watch", daemon=True).start()

    def _wait_for_end(self) -> None:
        while True:
            self.receive()
