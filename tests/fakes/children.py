"""What runs in child processes of tests: small targets, each with its side of the pipe and a job."""

import os
import resource
import threading
from multiprocessing.connection import Connection
from typing import NoReturn

from llm_inference_api.models.convert import process
from llm_inference_api.models.convert.process import ConversionJob
from llm_inference_api.processes.parent import Parent

UP = "up"
"""The first message of targets that go on afterwards."""


class Unreadable:
    """An object that the other side cannot make again."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return _refuse, ()


def _refuse() -> NoReturn:
    raise ValueError("cannot be read")


def _for_ever() -> None:
    threading.Event().wait()


def count(connection: Connection, upto: int) -> None:
    """Sends the numbers up to the job, and ends with exit code 3."""
    parent = Parent(connection)
    for number in range(upto):
        parent.send(number)
    os._exit(3)


def echo(connection: Connection, job: object) -> None:
    """Sends the job, and then what it receives."""
    parent = Parent(connection)
    parent.send(job)
    while True:
        parent.send(parent.receive())


def echo_next(connection: Connection, _: None) -> None:
    """Receives its job, and goes on as `echo`; ends without one."""
    try:
        job = connection.recv()
    except EOFError:
        return
    echo(connection, job)


def never_read(connection: Connection, job: object) -> None:
    """Says that it is up and does nothing more."""
    connection.send(UP)
    _for_ever()


def watch(connection: Connection, job: object) -> None:
    """Works for ever, and listens for the end of its parent meanwhile."""
    parent = Parent(connection)
    parent.watch()
    parent.send(UP)
    _for_ever()


def speak(connection: Connection, job: object) -> None:
    """Sends for ever."""
    parent = Parent(connection)
    while True:
        parent.send(UP)


def linger(connection: Connection, job: object) -> None:
    """Closes its pipe and goes on."""
    connection.send(UP)
    connection.close()
    _for_ever()


def linger_with_pipe(connection: Connection, job: object) -> None:
    """Ignores signals and the end of its pipe."""
    parent = Parent(connection)
    parent.send(UP)
    _for_ever()


def fill_disk(connection: Connection, job: ConversionJob) -> None:
    """Converts a checkpoint, and may not write a byte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    process.run(connection, job)


def garble(connection: Connection, job: object) -> None:
    """Sends what cannot be read, and goes on."""
    parent = Parent(connection)
    parent.send(Unreadable())
    while True:
        parent.receive()
