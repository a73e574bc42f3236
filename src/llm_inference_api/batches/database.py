"""The SQLite database that keeps files and batches, and the thread that alone uses it.

SQLite, because a transaction is whole or not at all after a crash, and one that finds the disk full does no harm to
what is there (https://www.sqlite.org/atomiccommit.html).
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from llm_inference_api.errors import StartError, UnavailableError

FILE = "batches.sqlite"
VERSION = 1
"""Version of the tables, kept in the database."""
_LOG_BYTES = 16 << 20
"""Size to which the write-ahead log is cut once it was larger."""
_SETUP = f"""
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA journal_size_limit = {_LOG_BYTES};
"""
_TABLES = f"""
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    caller TEXT NOT NULL,
    name TEXT NOT NULL,
    purpose TEXT NOT NULL,
    state TEXT NOT NULL,
    bytes INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS files_of_callers ON files (caller, number);
CREATE TABLE IF NOT EXISTS lines (
    file INTEGER NOT NULL,
    number INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (file, number)
);
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    caller TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    times TEXT NOT NULL DEFAULT '{{}}',
    metadata TEXT NOT NULL DEFAULT 'null',
    problems TEXT NOT NULL DEFAULT '[]',
    input INTEGER NOT NULL,
    output INTEGER,
    error INTEGER,
    input_file TEXT NOT NULL,
    output_file TEXT,
    error_file TEXT,
    output_lifetime INTEGER,
    model TEXT,
    total INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS batches_of_callers ON batches (caller, number);
PRAGMA user_version = {VERSION};
COMMIT;
"""

Args = ParamSpec("Args")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Database:
    """One connection, used by one thread. `do` runs work there; all other methods are for that work."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, "batch-store")
        self._connection: sqlite3.Connection | None = None

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection; it must be open."""
        assert self._connection is not None
        return self._connection

    async def open(self) -> None:
        """Opens the database, and makes it if there is none.

        Raises StartError if it cannot be used: another service has it, or it is no such database.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    async def close(self) -> None:
        """Waits for the work that has begun, and closes the database."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def do(self, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """Returns `work(…)`, which runs in the database's thread.

        Raises:
            UnavailableError: The database could not be read or written, such as where the disk is full. What the work
                has changed is undone.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._guarded(work, args, kwargs))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yields the connection; what the block changes is kept as a whole, on disk, or undone where it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # SQLite itself undoes it where the disk is full.
                self.connection.execute("ROLLBACK")
            raise

    def _guarded(self, work: Callable[..., Result], args: tuple[object, ...], kwargs: dict[str, object]) -> Result:
        if self._connection is None:
            raise UnavailableError(
                "DRAINING", "the store of batches is not open: the service starts or stops; retry later"
            )
        try:
            return work(*args, **kwargs)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            logger.error("the store of batches cannot be used: %s (%s)", error, self._directory)  # noqa: TRY400
            is_full = error.sqlite_errorcode == sqlite3.SQLITE_FULL
            problem = "the disk with the store of batches is full" if is_full else "the store of batches failed"
            raise UnavailableError("BATCH_STORE_FAILED", f"{problem}; retry later", 30.0) from error

    def _open(self) -> None:
        path = self._directory / FILE
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=True)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"LLM_BATCH_STORE: {self._directory} cannot be used ({error})") from error
        try:
            _prepare(connection, path)
        except sqlite3.Error as error:
            connection.close()
            reason = "another service uses it" if "locked" in str(error) else str(error)
            raise StartError(f"LLM_BATCH_STORE: {path} cannot be used ({reason})") from error
        except StartError:
            connection.close()
            raise
        path.chmod(0o600)
        self._connection = connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    connection.executescript(_SETUP)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, VERSION):
        raise StartError(f"LLM_BATCH_STORE: {path} is of another version ({found}, not {VERSION}); move it away")
    connection.executescript(_TABLES)
