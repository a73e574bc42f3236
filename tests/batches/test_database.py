"""The database of files and batches."""

import resource
import sqlite3
from pathlib import Path

import pytest

from llm_inference_api.batches.database import FILE, Database
from llm_inference_api.errors import StartError, UnavailableError


async def opened(directory: Path) -> Database:
    database = Database(directory)
    await database.open()
    return database


async def test_only_one_service_uses_a_directory(tmp_path: Path) -> None:
    """A second one does not start; once the first is gone, it does."""
    first = await opened(tmp_path)
    with pytest.raises(StartError, match="another service uses it"):
        await opened(tmp_path)
    await first.close()
    await (await opened(tmp_path)).close()


async def test_directory_that_cannot_be_made_ends_the_start(tmp_path: Path) -> None:
    """The error names the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="LLM_BATCH_STORE"):
        await opened(tmp_path / "file" / "store")


async def test_file_that_is_no_database_ends_the_start(tmp_path: Path) -> None:
    """It is left as it is."""
    (tmp_path / FILE).write_bytes(b"something else" * 100)
    with pytest.raises(StartError, match="not a database"):
        await opened(tmp_path)
    assert (tmp_path / FILE).read_bytes().startswith(b"something else")


async def test_tables_of_a_later_version_end_the_start(tmp_path: Path) -> None:
    """They are not written over."""
    connection = sqlite3.connect(tmp_path / FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StartError, match="another version"):
        await opened(tmp_path)


async def test_prompts_are_for_the_services_user_alone(tmp_path: Path) -> None:
    """Nobody else on the machine may read directory or database."""
    database = await opened(tmp_path / "store")
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "store" / FILE).stat().st_mode & 0o777 == 0o600
    await database.close()


async def test_change_that_fails_is_undone(tmp_path: Path) -> None:
    """As a whole, and the next one is not part of it."""
    database = await opened(tmp_path)

    def insert(number: int, *, fails: bool) -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO lines (file, number, data) VALUES (1, ?, x'00')", (number,))
            if fails:
                raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.do(insert, 1, fails=True)
    await database.do(insert, 2, fails=False)
    rows = await database.do(lambda: database.connection.execute("SELECT number FROM lines").fetchall())
    assert [row[0] for row in rows] == [2]
    await database.close()


async def test_full_disk_undoes_the_change_and_is_told_as_unavailable(tmp_path: Path) -> None:
    """What was there before is still there, and is written again once there is room."""
    database = await opened(tmp_path)

    def insert(number: int, data: bytes) -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO lines (file, number, data) VALUES (1, ?, ?)", (number, data))

    def count() -> int:
        return int(database.connection.execute("SELECT count(*) FROM lines").fetchone()[0])

    await database.do(insert, 1, b"x")
    pages = await database.do(lambda: database.connection.execute("PRAGMA page_count").fetchone()[0])
    await database.do(lambda: database.connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
    with pytest.raises(UnavailableError, match="the disk with the store of batches is full") as caught:
        await database.do(insert, 2, b"x" * 100_000)
    assert caught.value.reason == "BATCH_STORE_FAILED"
    assert await database.do(count) == 1
    await database.do(lambda: database.connection.execute("PRAGMA max_page_count = 100000").fetchall())
    await database.do(insert, 2, b"x" * 100_000)
    assert await database.do(count) == 2
    await database.close()


async def test_write_that_the_system_refuses_is_told_as_unavailable(tmp_path: Path) -> None:
    """As by a quota of the file system: the process goes on."""
    database = await opened(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def insert() -> None:
        with database.transaction() as connection:
            connection.execute("INSERT INTO lines (file, number, data) VALUES (1, 1, ?)", (b"x" * 10_000_000,))

    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(UnavailableError):
            await database.do(insert)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await database.do(insert)
    await database.close()


async def test_work_after_the_close_is_refused(tmp_path: Path) -> None:
    """As while the service stops."""
    database = await opened(tmp_path)
    database._connection, connection = None, database._connection
    with pytest.raises(UnavailableError, match="is not open"):
        await database.do(lambda: None)
    database._connection = connection
    await database.close()
