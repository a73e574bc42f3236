"""`Files`: the files in the store, by caller. Their bytes are kept by line.

All methods run in the database's thread.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llm_inference_api.batches.database import Database
from llm_inference_api.batches.records import INPUT, OUTPUT, Line, StoredFile
from llm_inference_api.errors import ItemNotFoundError, PreconditionError, QuotaError

MAX_LINES = 50_000
"""Maximum number of lines of a file, as many as OpenAI takes."""
MAX_LINE_BYTES = 4 << 20
"""Maximum size of a line; about that of a request's body."""
MAX_FILE_BYTES = 200_000_000
"""Maximum size of a file, as OpenAI's."""
_OVERHEAD = 4096
"""Bytes that a file counts for beyond its own, so that the store's bound is one of their number too."""
_READ_BYTES = 1 << 20
"""Bytes after which a read of lines ends."""
_PURGED = 500
"""Lines that are deleted at a time: other work has its turn in between."""
_FREED_PAGES = 2000
"""Pages that are given back to the file system at a time."""

_UPLOADING, _WRITING, _READY, _DELETED = "uploading", "writing", "ready", "deleted"


class Bounds(NamedTuple):
    """How much the store may hold."""

    total_bytes: int
    caller_bytes: int
    """Of one caller's files, output files included."""
    caller_count: int
    """Number of one caller's uploaded files, of their batches that have not ended, and of those that have."""
    lifetime: int
    """Seconds for which files and ended batches are kept."""


class ListPage(NamedTuple):
    """Which part of a list a caller wants."""

    limit: int
    after: str = ""
    """Id of the item before the page; empty: the list's first item begins it."""
    newest_first: bool = True


class Files:
    """Files of all callers."""

    def __init__(self, database: Database, bounds: Bounds, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._bounds = bounds
        self._clock = clock

    def begin(self, caller: str) -> int:
        """Makes an empty file for an upload, which nobody sees before `finish`, and returns its number.

        Raises QuotaError if the caller has too many files.
        """
        with self._database.transaction() as connection:
            query = "SELECT count(*) FROM files WHERE caller = ? AND purpose = ? AND state != ?"
            count = connection.execute(query, (caller, INPUT, _DELETED)).fetchone()[0]
            if count >= self._bounds.caller_count:
                raise QuotaError(
                    f"you have {count} files, which is the limit per caller; delete some (DELETE /v1/files)"
                )
            return self._insert(connection, caller, "", INPUT, _UPLOADING, None)

    def add_output(self, connection: sqlite3.Connection, caller: str, name: str, lifetime: int | None) -> int:
        """Makes an empty file for a batch to write, within a transaction, and returns its number."""
        return self._insert(connection, caller, name, OUTPUT, _WRITING, lifetime)

    def _insert(  # noqa: PLR0913, PLR0917 - a column each
        self, connection: sqlite3.Connection, caller: str, name: str, purpose: str, state: str, lifetime: int | None
    ) -> int:
        now = int(self._clock())
        values = (f"file-{secrets.token_hex(12)}", caller, name, purpose, state, now, now + self._kept(lifetime))
        columns = "id, caller, name, purpose, state, created_at, expires_at"
        cursor = connection.execute(f"INSERT INTO files ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _kept(self, lifetime: int | None) -> int:
        return min(lifetime or self._bounds.lifetime, self._bounds.lifetime)

    def append(self, number: int, lines: Sequence[Line]) -> None:
        """Adds lines to a file. Raises QuotaError if there is no room for them; none is added then."""
        with self._database.transaction() as connection:
            self.add_lines(connection, number, lines)

    def add_lines(self, connection: sqlite3.Connection, number: int, lines: Sequence[Line]) -> None:
        """Same as `append`, within a transaction."""
        size = sum(len(line.data) for line in lines)
        self._check_room(connection, number, size)
        rows = ((number, line.number, line.data) for line in lines)
        connection.executemany("INSERT INTO lines (file, number, data) VALUES (?, ?, ?)", rows)
        connection.execute("UPDATE files SET bytes = bytes + ? WHERE number = ?", (size, number))

    def _check_room(self, connection: sqlite3.Connection, number: int, size: int) -> None:
        query = f"SELECT coalesce(sum(bytes + {_OVERHEAD}), 0) FROM files"  # noqa: S608
        if connection.execute(query).fetchone()[0] + size > self._bounds.total_bytes:
            raise QuotaError("the store of batches is full; retry when others' files were deleted, or expired")
        own = f"{query} WHERE state != ? AND caller = (SELECT caller FROM files WHERE number = ?)"  # noqa: S608
        if connection.execute(own, (_DELETED, number)).fetchone()[0] + size > self._bounds.caller_bytes:
            limit = self._bounds.caller_bytes
            raise QuotaError(f"your files would take more than {limit} bytes, the limit per caller; delete some")

    def finish(self, number: int, name: str, lifetime: int | None) -> StoredFile:
        """Ends an upload: the caller sees the file from now on. Returns it."""
        with self._database.transaction() as connection:
            expires_at = int(self._clock()) + self._kept(lifetime)
            connection.execute(
                "UPDATE files SET state = ?, name = ?, expires_at = ? WHERE number = ?",
                (_READY, name, expires_at, number),
            )
            return _file(connection.execute("SELECT * FROM files WHERE number = ?", (number,)).fetchone())

    def publish(self, connection: sqlite3.Connection, number: int) -> str | None:
        """Ends a batch's file, within a transaction: returns its id, or deletes it and returns None if it is empty."""
        row = connection.execute("SELECT id, bytes FROM files WHERE number = ?", (number,)).fetchone()
        state = _READY if row["bytes"] else _DELETED
        connection.execute("UPDATE files SET state = ? WHERE number = ?", (state, number))
        return str(row["id"]) if row["bytes"] else None

    def discard(self, number: int) -> None:
        """Deletes a file whose upload did not end."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE files SET state = ? WHERE number = ? AND state = ?", (_DELETED, number, _UPLOADING)
            )

    def discard_unfinished(self) -> None:
        """Deletes the files whose upload ended with the process."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE files SET state = ? WHERE state = ?", (_DELETED, _UPLOADING))

    def get(self, caller: str, file_id: str, field: str = "file_id") -> StoredFile:
        """Returns a caller's file. Raises ItemNotFoundError, which names the field that has the id."""
        query = "SELECT * FROM files WHERE id = ? AND caller = ? AND state = ?"
        row = self._database.connection.execute(query, (file_id, caller, _READY)).fetchone()
        if row is None:
            raise ItemNotFoundError(field, f"you have no file {file_id[:100]!r} here")
        return _file(row)

    def page(self, caller: str, page: ListPage, purpose: str = "") -> tuple[list[StoredFile], bool]:
        """Returns some of a caller's files, and whether more follow. Raises ItemNotFoundError as `get`."""
        order, beyond = ("DESC", "<") if page.newest_first else ("ASC", ">")
        where, values = "caller = ? AND state = ?", [caller, _READY]
        if purpose:
            where, values = f"{where} AND purpose = ?", [*values, purpose]
        if page.after:
            where = f"{where} AND number {beyond} {self.get(caller, page.after, 'after').number}"
        query = f"SELECT * FROM files WHERE {where} ORDER BY number {order} LIMIT ?"  # noqa: S608
        rows = self._database.connection.execute(query, (*values, page.limit + 1)).fetchall()
        return [_file(row) for row in rows[: page.limit]], len(rows) > page.limit

    def delete(self, caller: str, file_id: str) -> None:
        """Deletes a caller's file. Raises ItemNotFoundError, or PreconditionError while a batch reads it."""
        with self._database.transaction() as connection:
            number = self.get(caller, file_id).number
            if (user := self._user_of(connection, number)) is not None:
                raise PreconditionError(
                    "FILE_IN_USE", f"batch {user} still reads this file; cancel it, or wait for its end"
                )
            connection.execute("UPDATE files SET state = ? WHERE number = ?", (_DELETED, number))

    @staticmethod
    def _user_of(connection: sqlite3.Connection, number: int) -> str | None:
        query = f"SELECT id FROM batches WHERE input = ? AND status IN {UNFINISHED}"  # noqa: S608
        row = connection.execute(query, (number,)).fetchone()
        return row and str(row["id"])

    def read(self, number: int, after: int) -> list[Line]:
        """Returns some lines of a file that follow the one with the number `after`; none at its end."""
        lines, size = [], 0
        query = "SELECT number, data FROM lines WHERE file = ? AND number > ? ORDER BY number"
        for row in self._database.connection.execute(query, (number, after)):
            lines.append(Line(row["number"], row["data"]))
            size += len(row["data"])
            if size >= _READ_BYTES:
                break
        return lines

    def expire(self) -> None:
        """Deletes the files whose time is over, apart from those that a batch reads."""
        used = f"SELECT input FROM batches WHERE status IN {UNFINISHED}"  # noqa: S608
        query = f"UPDATE files SET state = ? WHERE state = ? AND expires_at <= ? AND number NOT IN ({used})"  # noqa: S608
        with self._database.transaction() as connection:
            connection.execute(query, (_DELETED, _READY, int(self._clock())))

    def purge(self) -> bool:
        """Frees some of the space of deleted files. Returns whether there is more."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT number FROM files WHERE state = ? LIMIT 1", (_DELETED,)).fetchone()
            if row is None:
                connection.execute(f"PRAGMA incremental_vacuum({_FREED_PAGES})").fetchall()
                return bool(connection.execute("PRAGMA freelist_count").fetchone()[0])
            chosen = "SELECT rowid FROM lines WHERE file = ? LIMIT ?"
            cursor = connection.execute(f"DELETE FROM lines WHERE rowid IN ({chosen})", (row["number"], _PURGED))  # noqa: S608
            if cursor.rowcount < _PURGED:
                connection.execute("DELETE FROM files WHERE number = ?", (row["number"],))
        return True

    def size(self) -> int:
        """Returns the bytes of all files."""
        return int(self._database.connection.execute("SELECT coalesce(sum(bytes), 0) FROM files").fetchone()[0])


UNFINISHED = "('validating', 'in_progress', 'finalizing', 'cancelling')"
"""SQL list of the states of batches that have not ended."""


def _file(row: sqlite3.Row) -> StoredFile:
    names = ("number", "id", "caller", "name", "purpose", "bytes", "created_at", "expires_at")
    return StoredFile(*(row[name] for name in names))
