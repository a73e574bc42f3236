"""Responses that are kept for their callers, in SQLite: in memory, or in a file that survives a restart."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.responses.document import write_large
from llm_inference_api.api.openai.responses.items import MAX_ITEMS
from llm_inference_api.api.openai.responses.storage.database import opened
from llm_inference_api.api.openai.responses.storage.shares import surplus
from llm_inference_api.errors import InvalidFieldError, StartError, UnavailableError, UnknownResponseError

MAX_READ = 8 << 20
"""Bytes of the stored items that a request may go on from. Their texts may have 1 MiB together."""
PATIENCE = 30.0
"""Seconds in which the file answers: that of a network file system may not. SQLite waits 5 for another process."""
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What is kept."""

    size: int
    """Bytes of all responses with their items; 0: none is kept. What was not used for longest goes, of the callers that
    have most."""
    lifetime: float
    """Seconds after its last use for which a response is kept."""


class ResponseStore:
    """Responses by id, each of one caller, who alone finds it. What waits for the file runs in a thread of its own."""

    def __init__(
        self,
        limits: StoreLimits,
        path: Path | None = None,
        clock: Callable[[], float] = time.time,
        patience: float = PATIENCE,
    ) -> None:
        """Creates the store, which is to be opened.

        Args:
            limits: What is kept.
            path: The file; None: memory.
            clock: Returns the time in seconds, of which a file has that of the last use.
            patience: See `PATIENCE`.
        """
        self._limits = limits
        self._path = path
        self._clock = clock
        self._patience = patience
        self._thread = ThreadPoolExecutor(1, "responses")
        self._opened: sqlite3.Connection | None = None

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._limits.size > 0

    async def open(self) -> None:
        """Opens the file. Raises StartError if it cannot be used, or is none of this service's."""
        try:
            await self._in_thread(self._open)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"LLM_RESPONSE_STORE: {self._path} cannot be used ({error})") from error

    def close(self) -> None:
        """Closes the store, after what it does."""
        self._thread.submit(self._close).result()
        self._thread.shutdown()

    async def save(self, caller: str, response: Json, given: Sequence[Json], output: Sequence[Json]) -> None:
        """Keeps a response. Where that fails, the log says so: the response itself is no worse for it.

        Args:
            caller: Who may find it.
            response: The response object.
            given: The input items that it answers.
            output: The items of its output, as a conversation that goes on has them.
        """
        try:
            await self._run(lambda: self._save(caller, response, given, output))
        except UnavailableError as error:
            logger.warning("a response is not stored: %s", error.__cause__)

    async def get(self, caller: str, response_id: str) -> bytes:
        """Returns a response as JSON. Raises UnknownResponseError."""
        return await self._run(lambda: self._get(caller, response_id))

    async def delete(self, caller: str, response_id: str) -> None:
        """Deletes a response. Raises UnknownResponseError."""
        await self._run(lambda: self._delete(caller, response_id))

    async def input_items(self, caller: str, response_id: str) -> list[bytes]:
        """Returns the input items of a response as JSON. Raises UnknownResponseError."""
        return await self._run(lambda: self._input_items(caller, response_id))

    async def conversation(self, caller: str, response_id: str) -> list[bytes]:
        """Returns all items up to a response's output as JSON, in order.

        Raises:
            UnknownResponseError: Any part of the conversation is gone.
            InvalidFieldError: It is longer than a request may be.
        """
        return await self._run(lambda: self._conversation(caller, response_id))

    async def items(self, caller: str, ids: Collection[str]) -> dict[str, bytes]:
        """Returns items of any responses as JSON, by their ids, as far as there are such.

        Raises:
            InvalidFieldError: They are longer than a request may be.
        """
        return await self._run(lambda: dict(_bounded(self._found(caller, ids), "input")))

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Returns what `work` does in a transaction. Raises UnavailableError where the file cannot be used."""

        def within_transaction() -> Result:
            with self._database:
                self._database.execute("DELETE FROM responses WHERE used < ?", (self._clock() - self._limits.lifetime,))
                return work()

        try:
            return await self._in_thread(within_transaction)
        except (TimeoutError, sqlite3.Error) as error:
            raise UnavailableError("STORE_UNAVAILABLE", "stored responses cannot be used now; retry later") from error

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        """Returns what `work` does. Raises TimeoutError if that takes too long; it may still be done then."""
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.wait_for(done, self._patience)
        except TimeoutError:
            raise TimeoutError(f"the file has not answered for {self._patience:g} s") from None

    def _open(self) -> None:
        self._opened = opened(self._path)

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    @property
    def _database(self) -> sqlite3.Connection:
        assert self._opened is not None
        return self._opened

    def _save(self, caller: str, response: Json, given: Sequence[Json], output: Sequence[Json]) -> None:
        name, document = str(response["id"]), write_large(response)
        items = (*((item, True) for item in given), *((item, False) for item in output))
        rows = [
            (str(item["id"]), name, place, is_input, write_large(item)) for place, (item, is_input) in enumerate(items)
        ]
        size = len(document) + sum(len(row[-1]) for row in rows)
        if size > self._limits.size:
            logger.warning(
                "a response of %d bytes is not stored: LLM_RESPONSE_STORE_SIZE is %d", size, self._limits.size
            )
            return
        previous = response["previous_response_id"]
        self._database.execute(
            "INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?)", (name, caller, previous, self._clock(), size, document)
        )
        self._database.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", rows)
        self._make_room(name, size)

    def _make_room(self, newest: str, size: int) -> None:
        """Deletes what is too much beside the newest response."""
        sizes = dict(
            self._database.execute("SELECT caller, sum(size) FROM responses WHERE id != ? GROUP BY caller", (newest,))
        )
        for caller, excess in surplus(sizes, self._limits.size - size).items():
            self._database.execute(
                "DELETE FROM responses WHERE id IN (SELECT id FROM (SELECT id, sum(size) OVER (ORDER BY used, rowid) - "
                "size AS freed FROM responses WHERE caller = ? AND id != ?) WHERE freed < ?)",
                (caller, newest, excess),
            )

    def _get(self, caller: str, response_id: str) -> bytes:
        document: bytes = self._used(caller, response_id, "document")
        return document

    def _used(self, caller: str, response_id: str, column: str) -> Any:
        """Returns a column of a response, which is used by that. Raises UnknownResponseError."""
        row = self._database.execute(
            f"UPDATE responses SET used = ? WHERE id = ? AND caller = ? RETURNING {column}",  # noqa: S608 - a constant
            (self._clock(), response_id, caller),
        ).fetchone()
        if row is None:
            raise UnknownResponseError(response_id)
        return row[0]

    def _delete(self, caller: str, response_id: str) -> None:
        gone = self._database.execute("DELETE FROM responses WHERE id = ? AND caller = ?", (response_id, caller))
        if not gone.rowcount:
            raise UnknownResponseError(response_id)

    def _input_items(self, caller: str, response_id: str) -> list[bytes]:
        self._used(caller, response_id, "id")
        rows = self._database.execute(
            "SELECT body FROM items WHERE response = ? AND is_input ORDER BY place", (response_id,)
        )
        return [body for (body,) in rows]

    def _conversation(self, caller: str, response_id: str) -> list[bytes]:
        """Returns the items of a response and of those before it. All of them are used by it."""
        return [body for _, body in _bounded(self._backwards(caller, response_id), "previous_response_id")][::-1]

    def _backwards(self, caller: str, response_id: str) -> Generator[tuple[str, bytes]]:
        earlier: str | None = response_id
        while earlier is not None:
            previous = self._used(caller, earlier, "previous")
            query = "SELECT id, body FROM items WHERE response = ? ORDER BY place DESC"
            yield from self._database.execute(query, (earlier,))
            earlier = previous

    def _found(self, caller: str, ids: Collection[str]) -> Generator[tuple[str, bytes]]:
        for name in ids:
            yield from self._database.execute(
                "SELECT items.id, body FROM items JOIN responses ON responses.id = response "
                "WHERE items.id = ? AND caller = ? ORDER BY used DESC LIMIT 1",
                (name, caller),
            )


def _bounded(items: Generator[tuple[str, bytes]], field: str) -> list[tuple[str, bytes]]:
    """Returns the items. Raises InvalidFieldError for the field that refers to them, if there are too many."""
    found, size = [], 0
    with closing(items):  # Else a query stays open behind an error.
        for item in items:
            found.append(item)
            size += len(item[1])
            if len(found) > MAX_ITEMS or size > MAX_READ:
                problem = f"refers to more than {MAX_ITEMS} stored items, or {MAX_READ} bytes; send a shorter input"
                raise InvalidFieldError(field, problem)
    return found
