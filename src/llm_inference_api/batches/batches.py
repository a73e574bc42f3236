"""`Batches`: the batches in the store, by caller, and the answers to their lines.

Each change of a state is one transaction: a service that is killed goes on with what it has written. The answers are
lines of the output file and of the file with the errors, with the number of the line that they answer, which is what
tells a line that is to be answered from one that has been.

All methods run in the database's thread.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from llm_inference_api.batches.database import Database
from llm_inference_api.batches.files import UNFINISHED, Bounds, Files, ListPage
from llm_inference_api.batches.records import (
    INPUT,
    AnsweredLine,
    BatchJob,
    BatchRequest,
    Line,
    LineProblem,
    Status,
    Tokens,
)
from llm_inference_api.errors import InvalidFieldError, ItemNotFoundError, PreconditionError, QuotaError

_REST_BYTES = 1 << 20
_REST_LINES = 200
"""How much of a batch's lines `rest` returns at a time."""
_UNANSWERED = """
SELECT {} FROM lines AS line, batches AS batch
WHERE batch.number = ? AND line.file = batch.input AND line.number > ?
AND NOT EXISTS (
    SELECT 1 FROM lines AS answer WHERE answer.file IN (batch.output, batch.error) AND answer.number = line.number
)
ORDER BY line.number
"""
_COUNTED = "input_tokens = input_tokens + ?, cached_tokens = cached_tokens + ?, output_tokens = output_tokens + ?"


class Batches:
    """Batches of all callers."""

    def __init__(
        self, database: Database, files: Files, bounds: Bounds, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._files = files
        self._bounds = bounds
        self._clock = clock

    def create(self, asked: BatchRequest) -> BatchJob:
        """Returns a new batch, whose lines are still to be validated.

        Raises:
            ItemNotFoundError: The caller has no such file.
            InvalidFieldError: It is no input of batches.
            QuotaError: The caller has too many batches that have not ended.
        """
        with self._database.transaction() as connection:
            file = self._input(asked)
            self._make_place(connection, asked.caller)
            now = int(self._clock())
            values = {
                "id": f"batch_{secrets.token_hex(12)}",
                "caller": asked.caller,
                "endpoint": asked.endpoint,
                "status": Status.VALIDATING,
                "created_at": now,
                "expires_at": now + asked.window,
                "metadata": json.dumps(None if asked.metadata is None else dict(asked.metadata)),
                "input": file,
                "input_file": asked.input_file,
                "output_lifetime": asked.output_lifetime,
            }
            places = ", ".join(f":{name}" for name in values)
            connection.execute(f"INSERT INTO batches ({', '.join(values)}) VALUES ({places})", values)  # noqa: S608
            return self.get(asked.caller, str(values["id"]))

    def _input(self, asked: BatchRequest) -> int:
        file = self._files.get(asked.caller, asked.input_file, "input_file_id")
        if file.purpose != INPUT:
            raise InvalidFieldError("input_file_id", f"must be a file of the purpose {INPUT!r}, not {file.purpose!r}")
        return file.number

    def _make_place(self, connection: sqlite3.Connection, caller: str) -> None:
        """Forgets the caller's oldest ended batch, if there are too many of these. Raises as `create`."""
        query = f"SELECT count(*) FROM batches WHERE caller = ? AND status {{}} {UNFINISHED}"  # noqa: S608
        open_ones = connection.execute(query.format("IN"), (caller,)).fetchone()[0]
        if open_ones >= self._bounds.caller_count:
            raise QuotaError(f"{open_ones} of your batches have not ended, which is the limit per caller")
        if connection.execute(query.format("NOT IN"), (caller,)).fetchone()[0] >= self._bounds.caller_count:
            oldest = f"SELECT min(number) FROM batches WHERE caller = ? AND status NOT IN {UNFINISHED}"  # noqa: S608
            self._forget(connection, f"number = ({oldest})", (caller,))

    @staticmethod
    def _forget(connection: sqlite3.Connection, where: str, values: tuple[object, ...]) -> None:
        """Deletes batches with the files that they have written."""
        for column in ("output", "error"):
            written = f"SELECT {column} FROM batches WHERE {where}"  # noqa: S608
            connection.execute(f"UPDATE files SET state = 'deleted' WHERE number IN ({written})", values)  # noqa: S608
        connection.execute(f"DELETE FROM batches WHERE {where}", values)  # noqa: S608

    def get(self, caller: str, batch_id: str, field: str = "batch_id") -> BatchJob:
        """Returns a caller's batch. Raises ItemNotFoundError, which names the field that has the id."""
        query = "SELECT * FROM batches WHERE id = ? AND caller = ?"
        row = self._database.connection.execute(query, (batch_id, caller)).fetchone()
        if row is None:
            raise ItemNotFoundError(field, f"you have no batch {batch_id[:100]!r} here")
        return _batch(row)

    def page(self, caller: str, page: ListPage) -> tuple[list[BatchJob], bool]:
        """Returns some of a caller's batches, the newest first, and whether more follow. Raises as `get`."""
        before = f"AND number < {self.get(caller, page.after, 'after').number}" if page.after else ""
        query = f"SELECT * FROM batches WHERE caller = ? {before} ORDER BY number DESC LIMIT ?"  # noqa: S608
        rows = self._database.connection.execute(query, (caller, page.limit + 1)).fetchall()
        return [_batch(row) for row in rows[: page.limit]], len(rows) > page.limit

    def unfinished(self) -> list[BatchJob]:
        """Returns the batches of all callers that have not ended, the oldest first."""
        query = f"SELECT * FROM batches WHERE status IN {UNFINISHED} ORDER BY number"  # noqa: S608
        return [_batch(row) for row in self._database.connection.execute(query)]

    def current(self, batch: BatchJob) -> BatchJob:
        """Returns the batch as it is now."""
        return _batch(self._row(batch.number))

    def _row(self, number: int) -> sqlite3.Row:
        row: sqlite3.Row = self._database.connection.execute(
            "SELECT * FROM batches WHERE number = ?", (number,)
        ).fetchone()
        return row

    def counts(self) -> dict[str, int]:
        """Returns the number of batches in each state."""
        rows = self._database.connection.execute("SELECT status, count(*) FROM batches GROUP BY status")
        return {**{status.value: 0 for status in Status}, **dict(rows.fetchall())}

    def cancel(self, caller: str, batch_id: str) -> BatchJob:
        """Has a batch cancelled, and returns it. Raises ItemNotFoundError, or PreconditionError if it has ended."""
        with self._database.transaction() as connection:
            batch = self.get(caller, batch_id)
            if batch.status.is_final:
                raise PreconditionError("BATCH_ENDED", f"the batch has ended: it is {batch.status}")
            if batch.status is not Status.CANCELLING:
                self._enter(connection, batch.number, Status.CANCELLING)
        return self.get(caller, batch_id)

    def begin(self, batch: BatchJob, total: int, model: str | None) -> None:
        """Ends the validation of a batch: its lines are answered from now on; has no effect if it was cancelled."""
        with self._database.transaction() as connection:
            row = self._row(batch.number)
            if row["status"] != Status.VALIDATING:
                return
            files = {
                column: self._files.add_output(
                    connection, batch.caller, f"{batch.id}_{column}.jsonl", row["output_lifetime"]
                )
                for column in ("output", "error")
            }
            connection.execute(
                "UPDATE batches SET output = ?, error = ?, total = ?, model = ? WHERE number = ?",
                (files["output"], files["error"], total, model, batch.number),
            )
            self._enter(connection, batch.number, Status.IN_PROGRESS)

    def input_lines(self, batch: BatchJob, after: int) -> list[Line]:
        """Returns some lines of the input that follow the one with the number `after`; none at its end."""
        return self._files.read(int(self._row(batch.number)["input"]), after)

    def input_line(self, batch: BatchJob, number: int) -> Line:
        """Returns a line of the input."""
        query = (
            "SELECT number, data FROM lines WHERE file = (SELECT input FROM batches WHERE number = ?) AND number = ?"
        )
        return Line(*self._database.connection.execute(query, (batch.number, number)).fetchone())

    def unanswered_numbers(self, batch: BatchJob, after: int) -> list[int]:
        """Returns the numbers of some lines that have no answer, after the number `after`; none if all have one."""
        query = f"{_UNANSWERED.format('line.number')} LIMIT {_REST_LINES}"
        return [row[0] for row in self._database.connection.execute(query, (batch.number, after))]

    def unanswered(self, batch: BatchJob, after: int) -> list[Line]:
        """Returns some lines that have no answer, after the one with the number `after`; none if all have one."""
        lines, size = [], 0
        query = _UNANSWERED.format("line.number, line.data")
        for row in self._database.connection.execute(query, (batch.number, after)):
            lines.append(Line(row["number"], row["data"]))
            size += len(row["data"])
            if len(lines) >= _REST_LINES or size >= _REST_BYTES:
                break
        return lines

    def answer(self, batch: BatchJob, answers: Sequence[AnsweredLine]) -> None:
        """Writes the answers of lines that had none. Raises QuotaError if there is no room for them."""
        if not answers:
            return
        with self._database.transaction() as connection:
            row = self._row(batch.number)
            for column, is_error in (("output", False), ("error", True)):
                lines = [Line(one.number, one.data) for one in answers if one.is_error is is_error]
                if lines:
                    self._files.add_lines(connection, row[column], lines)
            tokens = [sum(column) for column in zip(*(one.tokens for one in answers), strict=True)]
            failed = sum(one.is_error for one in answers)
            connection.execute(
                f"UPDATE batches SET completed = completed + ?, failed = failed + ?, {_COUNTED}, "  # noqa: S608
                "reasoning_tokens = reasoning_tokens + ? WHERE number = ?",
                (len(answers) - failed, failed, *tokens, batch.number),
            )

    def finalize(self, batch: BatchJob) -> None:
        """Notes that all lines are answered; has no effect if the batch was cancelled meanwhile."""
        with self._database.transaction() as connection:
            if self._row(batch.number)["status"] == Status.IN_PROGRESS:
                self._enter(connection, batch.number, Status.FINALIZING)

    def end(self, batch: BatchJob, status: Status, problems: Sequence[LineProblem] = ()) -> BatchJob:
        """Ends a batch, and returns it: its files may be read from now on."""
        with self._database.transaction() as connection:
            row = self._row(batch.number)
            for column in ("output", "error"):
                if row[column] is not None:
                    file_id = self._files.publish(connection, row[column])
                    connection.execute(
                        f"UPDATE batches SET {column}_file = ? WHERE number = ?",  # noqa: S608
                        (file_id, batch.number),
                    )
            problems_text = json.dumps([problem._asdict() for problem in problems])
            connection.execute("UPDATE batches SET problems = ? WHERE number = ?", (problems_text, batch.number))
            self._enter(connection, batch.number, status)
        return self.current(batch)

    def expire(self) -> None:
        """Forgets the batches that have ended so long ago that their files are deleted too."""
        with self._database.transaction() as connection:
            where = f"created_at <= ? AND status NOT IN {UNFINISHED}"
            self._forget(connection, where, (int(self._clock()) - self._bounds.lifetime,))

    def _enter(self, connection: sqlite3.Connection, number: int, status: Status) -> None:
        times = {**json.loads(self._row(number)["times"]), status: int(self._clock())}
        connection.execute(
            "UPDATE batches SET status = ?, times = ? WHERE number = ?", (status, json.dumps(times), number)
        )


def _batch(row: sqlite3.Row) -> BatchJob:
    same = (
        *("number", "id", "caller", "endpoint", "created_at", "expires_at", "input_file", "output_file", "error_file"),
        *("model", "total", "completed", "failed"),
    )
    columns: dict[str, Any] = {name: row[name] for name in same}
    return BatchJob(
        **columns,
        status=Status(row["status"]),
        times={Status(status): at for status, at in json.loads(row["times"]).items()},
        metadata=json.loads(row["metadata"]),
        problems=tuple(LineProblem(**problem) for problem in json.loads(row["problems"])),
        tokens=Tokens(*(row[f"{name}_tokens"] for name in Tokens._fields)),
    )
