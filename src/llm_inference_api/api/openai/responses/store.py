"""Responses that are kept for their callers, in SQLite: in memory, or in a file that survives a restart."""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from llm_inference_api.api.bodies import Json, large_document
from llm_inference_api.errors import StartError, UnavailableError, UnknownResponseError

_VERSION = 1
"""Version of the tables."""
_SCHEMA = f"""
CREATE TABLE responses (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, previous TEXT, used REAL NOT NULL, size INTEGER NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX use ON responses (caller, used, size);
CREATE TABLE items (
    id TEXT NOT NULL, response TEXT NOT NULL REFERENCES responses ON DELETE CASCADE, place INTEGER NOT NULL,
    is_input INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (response, place)
);
CREATE INDEX item ON items (id);
PRAGMA user_version = {_VERSION};
"""
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What is kept."""

    size: int
    """Bytes of all responses with their items; 0: none is kept. What was not used for longest goes, of the caller that
    has most."""
    lifetime: float
    """Seconds after its last use for which a response is kept."""


class ResponseStore:
    """Responses by id, each of one caller, who alone finds it. The methods run in a thread of the store's."""

    def __init__(self, limits: StoreLimits, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        """Opens the store.

        Args:
            limits: What is kept.
            path: The file; None: memory.
            clock: Returns the time in seconds, of which a file has that of the last use.

        Raises:
            StartError: The file cannot be opened, or is none of this service's.
        """
        self._limits = limits
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "responses")
        try:
            self._database = _opened(path)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"LLM_RESPONSE_STORE: {path} cannot be used ({error})") from error

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._limits.size > 0

    def close(self) -> None:
        """Closes the store, after what it does."""
        self._thread.submit(self._database.close).result()
        self._thread.shutdown()

    async def save(self, caller: str, response: Json, given: Sequence[Json]) -> None:
        """Keeps a response with the input items that it answers.

        Where that fails, the log says so: the response itself is no worse for it.
        """
        try:
            await self._run(lambda: self._save(caller, response, given))
        except UnavailableError as error:
            logger.warning("a response is not stored: %s", error.__cause__)

    async def get(self, caller: str, response_id: str) -> bytes:
        """Returns a response as JSON. Raises UnknownResponseError."""
        return await self._run(lambda: self._get(caller, response_id))

    async def delete(self, caller: str, response_id: str) -> None:
        """Deletes a response. Raises UnknownResponseError."""
        await self._run(lambda: self._delete(caller, response_id))

    async def input_items(self, caller: str, response_id: str) -> list[Json]:
        """Returns the input items of a response. Raises UnknownResponseError."""
        return await self._run(lambda: self._input_items(caller, response_id))

    async def conversation(self, caller: str, response_id: str) -> list[Json]:
        """Returns all items up to a response's output, in order. Raises UnknownResponseError, if any part is gone."""
        return await self._run(lambda: self._conversation(caller, response_id))

    async def item(self, caller: str, item_id: str) -> Json | None:
        """Returns an item of any response; None if there is none of this id."""
        return await self._run(lambda: self._item(caller, item_id))

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Returns what `work` does in a transaction. Raises UnavailableError where the file cannot be used."""

        def within_transaction() -> Result:
            with self._database:
                self._database.execute("DELETE FROM responses WHERE used < ?", (self._oldest,))
                return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, within_transaction)
        except sqlite3.Error as error:
            raise UnavailableError("STORE_UNAVAILABLE", "stored responses cannot be used now; retry later") from error

    @property
    def _oldest(self) -> float:
        return self._clock() - self._limits.lifetime

    def _save(self, caller: str, response: Json, given: Sequence[Json]) -> None:
        name, document = str(response["id"]), large_document(response)
        items = (*((item, True) for item in given), *((item, False) for item in response["output"]))
        rows = [
            (str(item["id"]), name, place, is_input, large_document(item))
            for place, (item, is_input) in enumerate(items)
        ]
        size = len(document) + sum(len(row[-1]) for row in rows)
        if size > self._limits.size:
            return
        previous = response["previous_response_id"]
        self._database.execute(
            "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?)", (name, caller, previous, self._clock(), size, document)
        )
        self._database.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", rows)
        self._make_room(name)

    def _make_room(self, newest: str) -> None:
        while self._number("SELECT total(size) FROM responses") > self._limits.size:
            self._database.execute(
                "DELETE FROM responses WHERE id = (SELECT id FROM responses WHERE id != ? AND caller = "
                "(SELECT caller FROM responses WHERE id != ? GROUP BY caller ORDER BY sum(size) DESC LIMIT 1) "
                "ORDER BY used LIMIT 1)",
                (newest, newest),
            )

    def _number(self, query: str) -> float:
        (number,) = self._database.execute(query).fetchone()
        return float(number)

    def _get(self, caller: str, response_id: str) -> bytes:
        row = self._database.execute(
            "UPDATE responses SET used = ? WHERE id = ? AND caller = ? RETURNING document",
            (self._clock(), response_id, caller),
        ).fetchone()
        if row is None:
            raise UnknownResponseError(response_id)
        return bytes(row[0])

    def _delete(self, caller: str, response_id: str) -> None:
        gone = self._database.execute("DELETE FROM responses WHERE id = ? AND caller = ?", (response_id, caller))
        if not gone.rowcount:
            raise UnknownResponseError(response_id)

    def _input_items(self, caller: str, response_id: str) -> list[Json]:
        self._get(caller, response_id)
        rows = self._database.execute(
            "SELECT body FROM items WHERE response = ? AND is_input ORDER BY place", (response_id,)
        )
        return [json.loads(body) for (body,) in rows]

    def _conversation(self, caller: str, response_id: str) -> list[Json]:
        return [item for name in self._chain(caller, response_id) for item in self._items(name)]

    def _chain(self, caller: str, response_id: str) -> list[str]:
        """Returns the ids of a conversation's responses, of which this is the last. All of them are used by it."""
        found: list[str] = []
        earlier: str | None = response_id
        while earlier is not None:
            row = self._database.execute(
                "UPDATE responses SET used = ? WHERE id = ? AND caller = ? RETURNING previous",
                (self._clock(), earlier, caller),
            ).fetchone()
            if row is None:
                raise UnknownResponseError(earlier)
            found.append(earlier)
            earlier = row[0]
        return found[::-1]

    def _items(self, response_id: str) -> list[Json]:
        rows = self._database.execute("SELECT body FROM items WHERE response = ? ORDER BY place", (response_id,))
        return [json.loads(body) for (body,) in rows]

    def _item(self, caller: str, item_id: str) -> Json | None:
        row = self._database.execute(
            "SELECT body FROM items JOIN responses ON responses.id = response "
            "WHERE items.id = ? AND caller = ? LIMIT 1",
            (item_id, caller),
        ).fetchone()
        return json.loads(row[0]) if row else None


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.touch(mode=0o600)  # SQLite would let others read what its callers have said.
    database = sqlite3.connect(path or ":memory:", check_same_thread=False)
    database.execute("PRAGMA foreign_keys = ON")
    database.execute("PRAGMA journal_mode = WAL")
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version == 0:
        database.executescript(_SCHEMA)
    elif version != _VERSION:
        raise sqlite3.DatabaseError(f"its tables have the version {version}, not {_VERSION}")
    return database
