"""Befalls a Python process that has this directory in PYTHONPATH: it is killed or refused something at an exact point.

`AUDIT_KILL=event:text` kills it at the first audit event with the text in its arguments, as `kill -9` does.
`AUDIT_REFUSE=event:text:errno` fails that event instead. `AUDIT_NETWORK=path` notes each use of the network in a file.
"""

import os
import signal
import sys
from pathlib import Path

_kill = os.environ.get("AUDIT_KILL", "").split(":")
_refuse = os.environ.get("AUDIT_REFUSE", "").split(":")
_network = os.environ.get("AUDIT_NETWORK")


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == _kill[0] and any(_kill[1] in str(argument) for argument in arguments):
        os.kill(os.getpid(), signal.SIGKILL)
    if event == _refuse[0] and any(_refuse[1] in str(argument) for argument in arguments):
        raise OSError(int(_refuse[2]), os.strerror(int(_refuse[2])))
    if _network and event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with Path(_network).open("a") as file:
            file.write(f"{event} {arguments}\n")


if any((_kill[0], _refuse[0], _network)):
    sys.addaudithook(_watch)
