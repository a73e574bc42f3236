"""Files of callers, on disk."""

from pathlib import Path

import pytest

from llm_inference_api.batches.files import Bounds, ListPage
from llm_inference_api.batches.records import BatchRequest
from llm_inference_api.batches.store import NoStore
from llm_inference_api.errors import ItemNotFoundError, PreconditionError, QuotaError
from tests.fakes.batches import BOUNDS, ENDPOINT, lines_of, open_store, requests, stored

LINES = lines_of("one\n", "\n", "three")


async def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Its lines, joined, are the bytes of the upload, whatever ends them."""
    async with open_store(tmp_path) as store:
        file = await stored(store, LINES)
        assert (file.size, file.name, file.purpose) == (10, "in.jsonl", "batch")
        assert await store.do(store.files.read, file.number, 0) == LINES
        assert await store.do(store.files.read, file.number, 2) == LINES[2:]


async def test_file_outlives_its_service(tmp_path: Path) -> None:
    """What was uploaded is there after the next start; what was not uploaded to its end is not."""
    async with open_store(tmp_path) as store:
        file = await stored(store, LINES)
        cut_off = await store.do(store.files.begin, "ana")
        await store.do(store.files.append, cut_off, LINES)
    async with open_store(tmp_path) as store:
        assert await store.do(store.files.get, "ana", file.id) == file
        while await store.do(store.files.purge):
            pass
        assert await store.do(store.files.read, cut_off, 0) == []


async def test_nobody_sees_a_file_of_another(tmp_path: Path) -> None:
    """To another caller a file is as one that never was."""
    async with open_store(tmp_path) as store:
        file = await stored(store, LINES)
        with pytest.raises(ItemNotFoundError):
            await store.do(store.files.get, "bob", file.id)
        with pytest.raises(ItemNotFoundError):
            await store.do(store.files.delete, "bob", file.id)
        with pytest.raises(ItemNotFoundError, match="you have no file"):
            await store.do(store.batches.create, BatchRequest("bob", ENDPOINT, file.id, 60))
        assert await store.do(store.files.page, "bob", ListPage(10)) == ([], False)


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    """`after` begins a page behind a file, in either order, and each page says whether more follow."""
    async with open_store(tmp_path) as store:
        first, second, third = [await stored(store, LINES) for _ in range(3)]
        assert await store.do(store.files.page, "ana", ListPage(2)) == ([third, second], True)
        assert await store.do(store.files.page, "ana", ListPage(2, second.id)) == ([first], False)
        assert await store.do(store.files.page, "ana", ListPage(9, first.id, newest_first=False)) == (
            [second, third],
            False,
        )
        assert await store.do(store.files.page, "ana", ListPage(9), "batch_output") == ([], False)


async def test_caller_is_refused_beyond_their_number_of_files(tmp_path: Path) -> None:
    """A file that is deleted makes place at once."""
    async with open_store(tmp_path) as store:
        files = [await stored(store, LINES) for _ in range(3)]
        with pytest.raises(QuotaError, match="you have 3 files"):
            await store.do(store.files.begin, "ana")
        await stored(store, LINES, "bob")
        await store.do(store.files.delete, "ana", files[0].id)
        await stored(store, LINES)


async def test_caller_is_refused_beyond_their_bytes(tmp_path: Path) -> None:
    """Lines that do not fit are not there in part, and other callers still have room."""
    bounds = Bounds(total_bytes=100_000, caller_bytes=20_000, caller_count=9, lifetime=86_400)
    async with open_store(tmp_path, bounds) as store:
        number = await store.do(store.files.begin, "ana")
        await store.do(store.files.append, number, lines_of("x" * 12_000))
        with pytest.raises(QuotaError, match="more than 20000 bytes"):
            await store.do(store.files.append, number, [line._replace(number=2) for line in lines_of("y" * 12_000)])
        assert [line.number for line in await store.do(store.files.read, number, 0)] == [1]
        await stored(store, lines_of("x" * 12_000), "bob")


async def test_all_callers_together_are_bounded(tmp_path: Path) -> None:
    """Small files count too: their number is bounded by the same bytes."""
    bounds = Bounds(total_bytes=20_000, caller_bytes=20_000, caller_count=9, lifetime=86_400)
    async with open_store(tmp_path, bounds) as store:
        for caller in ("a", "b", "c", "d"):
            await stored(store, lines_of("x"), caller)
        with pytest.raises(QuotaError, match="is full"):
            await stored(store, lines_of("x"), "e")


async def test_file_that_a_batch_reads_is_not_deleted(tmp_path: Path) -> None:
    """The error names the batch, and its time does not end while the batch runs."""
    async with open_store(tmp_path) as store:
        file = await stored(store, requests(1))
        batch = await store.do(store.batches.create, BatchRequest("ana", ENDPOINT, file.id, 60))
        with pytest.raises(PreconditionError, match=batch.id):
            await store.do(store.files.delete, "ana", file.id)
        store.files._clock = lambda: file.expires_at + 1.0
        await store.do(store.files.expire)
        assert await store.do(store.files.get, "ana", file.id)


async def test_file_is_deleted_when_its_time_is_over(tmp_path: Path) -> None:
    """Its own time, where the caller has asked for one; and its space is given back."""
    async with open_store(tmp_path) as store:
        number = await store.do(store.files.begin, "ana")
        await store.do(store.files.append, number, lines_of("x" * 100_000))
        file = await store.do(store.files.finish, number, "short", 3600)
        assert file.expires_at - file.created_at == 3600
        kept = await stored(store, LINES)
        grown = (tmp_path / "batches.sqlite").stat().st_size + (tmp_path / "batches.sqlite-wal").stat().st_size
        store.files._clock = lambda: file.created_at + 3601.0
        await store.do(store.files.expire)
        while await store.do(store.files.purge):
            pass
        assert await store.do(store.files.page, "ana", ListPage(9)) == ([kept], False)
        assert await store.do(store.files.size) == kept.size
    assert (tmp_path / "batches.sqlite").stat().st_size < min(grown, 100_000)


async def test_lifetime_is_bounded_by_the_services(tmp_path: Path) -> None:
    """A caller cannot keep a file for longer than the setting says."""
    async with open_store(tmp_path) as store:
        number = await store.do(store.files.begin, "ana")
        file = await store.do(store.files.finish, number, "long", 365 * 86_400)
        assert file.expires_at - file.created_at == BOUNDS.lifetime


async def test_without_a_directory_all_is_refused_by_the_setting() -> None:
    """A caller learns what the operator would have to set."""
    store = NoStore()
    with pytest.raises(PreconditionError, match="LLM_BATCH_STORE"):
        await store.do(store.files.begin, "ana")
