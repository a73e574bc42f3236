"""Temporary directory of one run of the service, closed to other users. A killed run's is removed at a later start."""

import fcntl
import logging
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from llm_inference_api.errors import StartError

_PREFIX = "llm-inference-api-"
_LOCK = "lock"
"""Name of the file that is locked (flock(2)) while the run lasts; the kernel unlocks it however the run ends."""

logger = logging.getLogger("llm_inference_api.envoy")


class RunDirectory:
    """A new directory with mode 0700 below TMPDIR; `close` removes it, or else the interpreter's exit."""

    def __init__(self) -> None:
        """Creates the directory, after it has removed those of earlier runs that were killed.

        Raises:
            StartError: No directory can be created.
        """
        try:
            parent = Path(tempfile.gettempdir())
            remove_abandoned(parent)
            self.path, lock = _create(parent)
        except OSError as error:
            raise StartError(f"TMPDIR: no temporary directory can be created ({error.strerror})") from error
        self._remove = weakref.finalize(self, _remove, self.path, lock)

    def close(self) -> None:
        """Removes the directory; what cannot be removed is left to a later start."""
        self._remove()


def remove_abandoned(parent: Path) -> None:
    """Removes this user's run directories that no process holds the lock of.

    A directory without a lock file is another version's, or is just being created.
    """
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.geteuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError while the run lasts.
                shutil.rmtree(path, ignore_errors=True)
                logger.info("removed %s, which a killed run has left", path)
            finally:
                os.close(lock)


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _create(parent: Path) -> tuple[Path, int]:
    """Returns a new directory and the descriptor that holds its lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return path, lock
        os.close(lock)  # Another start took it for abandoned between the last two steps.
