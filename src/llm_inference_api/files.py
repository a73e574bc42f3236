"""Opens files that others may have put in place, and checks how many may be open."""

import errno
import os
import resource
import stat
from pathlib import Path
from typing import BinaryIO

from llm_inference_api.errors import StartError

_FEWEST_OPEN = 128
"""Open files that the service needs without a connection, and some for connections."""


def open_regular(path: Path) -> BinaryIO:
    """Opens a file for reading. Neither this nor reading waits for another process, as for the writer of a FIFO.

    Raises:
        OSError: The file cannot be opened, or is not a regular one.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path) -> bytes:
    """Returns a file's content. Raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def check_open_files() -> None:
    """Raises StartError if this process may open so few files that parts of the service would fail or abort."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < _FEWEST_OPEN:
        problem = f"the limit of open files is {limit}, and at least {_FEWEST_OPEN} are needed"
        raise StartError(f"{problem}; raise it (ulimit -n, LimitNOFILE)")
