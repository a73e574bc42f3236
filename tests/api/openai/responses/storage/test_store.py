"""Responses that are kept."""

import asyncio
import json
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from llm_inference_api.api.openai.responses.storage.store import ResponseStore, StoreLimits
from llm_inference_api.errors import InvalidFieldError, StartError, UnavailableError, UnknownResponseError

MANY = StoreLimits(1 << 20, 100.0)


class Clock:
    """A time that tests set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def response(name: str, previous: str | None = None, text: str = "a") -> dict[str, Any]:
    item = {"type": "message", "id": f"msg_{name}", "role": "assistant", "content": text}
    return {"id": name, "output": [item], "previous_response_id": previous}


def said(name: str) -> dict[str, Any]:
    return {"type": "message", "id": f"in_{name}", "role": "user", "content": "q"}


async def keep(store: ResponseStore, name: str, previous: str | None = None, text: str = "a", who: str = "ann") -> None:
    made = response(name, previous, text)
    await store.save(who, made, [said(name)], made["output"])


async def opened(
    limits: StoreLimits, path: Path | None = None, clock: Callable[[], float] = time.time
) -> ResponseStore:
    store = ResponseStore(limits, path, clock)
    await store.open()
    return store


def modes(directory: Path) -> list[int]:
    return [stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()]


def ids(items: Iterable[bytes]) -> list[str]:
    return [json.loads(item)["id"] for item in items]


async def has(store: ResponseStore, name: str, who: str = "ann") -> bool:
    try:
        await store.get(who, name)
    except UnknownResponseError:
        return False
    return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(clock: Clock) -> AsyncIterator[ResponseStore]:
    store = await opened(MANY, clock=clock)
    yield store
    store.close()


async def test_response_is_found_by_its_id(store: ResponseStore) -> None:
    await keep(store, "r1")
    assert b'"id":"r1"' in await store.get("ann", "r1")


async def test_other_callers_do_not_find_it(store: ResponseStore) -> None:
    await keep(store, "r1")
    assert not await has(store, "r1", "bob")
    with pytest.raises(UnknownResponseError):
        await store.delete("bob", "r1")
    with pytest.raises(UnknownResponseError):
        await store.conversation("bob", "r1")
    assert await store.items("bob", ["msg_r1"]) == {}
    assert await has(store, "r1")


async def test_deleted_response_is_gone_with_its_items(store: ResponseStore) -> None:
    await keep(store, "r1")
    await store.delete("ann", "r1")
    assert not await has(store, "r1")
    assert await store.items("ann", ["msg_r1"]) == {}
    with pytest.raises(UnknownResponseError):
        await store.delete("ann", "r1")


async def test_input_items_are_those_of_the_response_alone(store: ResponseStore) -> None:
    await keep(store, "r1")
    await keep(store, "r2", "r1")
    assert ids(await store.input_items("ann", "r2")) == ["in_r2"]


async def test_conversation_has_all_items_in_order(store: ResponseStore) -> None:
    await keep(store, "r1")
    await keep(store, "r2", "r1")
    assert ids(await store.conversation("ann", "r2")) == ["in_r1", "msg_r1", "in_r2", "msg_r2"]


async def test_conversation_with_a_gap_is_none(store: ResponseStore) -> None:
    await keep(store, "r1")
    await keep(store, "r2", "r1")
    await store.delete("ann", "r1")
    with pytest.raises(UnknownResponseError, match="r1"):
        await store.conversation("ann", "r2")


async def test_items_are_found_by_their_ids(store: ResponseStore) -> None:
    await keep(store, "r1")
    found = await store.items("ann", ["in_r1", "msg_r1", "other"])
    assert {name: json.loads(item) for name, item in found.items()} == {
        "in_r1": said("r1"),
        "msg_r1": response("r1")["output"][0],
    }


async def test_conversation_of_too_many_items_is_refused(store: ResponseStore) -> None:
    """Before they are read."""
    await store.save("ann", {**response("r1"), "output": []}, [{**said("r1"), "id": str(n)} for n in range(4097)], [])
    with pytest.raises(InvalidFieldError, match=r"^previous_response_id: .*4096"):
        await store.conversation("ann", "r1")


async def test_items_of_too_many_bytes_are_refused(clock: Clock) -> None:
    """Whether a conversation goes on from them, or refers to each."""
    store = await opened(StoreLimits(1 << 30, 100.0), clock=clock)
    names = [f"r{number}" for number in range(9)]
    for earlier, name in zip([None, *names], names, strict=False):
        await keep(store, name, earlier, "x" * (1 << 20))
    with pytest.raises(InvalidFieldError, match=r"^previous_response_id: "):
        await store.conversation("ann", "r8")
    with pytest.raises(InvalidFieldError, match=r"^input: "):
        await store.items("ann", [f"msg_{name}" for name in names])
    assert len(await store.conversation("ann", "r6")) == 14
    store.close()


async def test_response_expires_after_its_last_use(store: ResponseStore, clock: Clock) -> None:
    await keep(store, "r1")
    clock.now += 60
    assert await has(store, "r1")
    clock.now += 60
    assert await has(store, "r1")
    clock.now += 101
    assert not await has(store, "r1")


async def test_conversation_uses_all_of_its_responses(store: ResponseStore, clock: Clock) -> None:
    await keep(store, "r1")
    await keep(store, "r2", "r1")
    clock.now += 60
    await store.conversation("ann", "r2")
    clock.now += 60
    assert await has(store, "r1")


async def test_least_recently_used_makes_room(clock: Clock) -> None:
    store = await opened(StoreLimits(2000, 100.0), clock=clock)
    for name in ("r1", "r2"):
        await keep(store, name, text="x" * 300)
        clock.now += 1
    await store.get("ann", "r1")
    clock.now += 1
    await keep(store, "r3", text="x" * 300)
    assert [await has(store, name) for name in ("r1", "r2", "r3")] == [True, False, True]
    store.close()


async def test_room_is_made_by_the_caller_that_has_most(clock: Clock) -> None:
    store = await opened(StoreLimits(2000, 100.0), clock=clock)
    await keep(store, "b1", text="x" * 100, who="bob")
    for name in ("a1", "a2", "a3"):
        clock.now += 1
        await keep(store, name, text="x" * 300)
    assert await has(store, "b1", "bob")
    assert not await has(store, "a1")
    store.close()


async def test_response_larger_than_the_store_is_not_kept(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    store = await opened(StoreLimits(500, 100.0), clock=clock)
    await keep(store, "r1", text="x" * 1000)
    assert not await has(store, "r1")
    assert "LLM_RESPONSE_STORE_SIZE is 500" in caplog.text
    store.close()


async def test_file_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    first = await opened(MANY, path)
    await keep(first, "r1")
    first.close()
    second = await opened(MANY, path)
    assert await has(second, "r1")
    assert set(modes(tmp_path)) == {0o600}
    second.close()


async def test_two_services_may_share_a_file(tmp_path: Path) -> None:
    first, second = [await opened(MANY, tmp_path / "responses.sqlite") for _ in range(2)]
    await keep(first, "r1")
    await keep(second, "r2", "r1")
    assert ids(await first.conversation("ann", "r2")) == ["in_r1", "msg_r1", "in_r2", "msg_r2"]
    first.close()
    second.close()


async def test_file_grows_to_about_the_size_of_what_may_be_kept(tmp_path: Path) -> None:
    """However many responses come and go."""
    path = tmp_path / "responses.sqlite"
    store = await opened(StoreLimits(1 << 18, 100.0), path)
    for number in range(400):
        await keep(store, f"r{number}", text="x" * (number % 7) * 500)
    store.close()
    assert path.stat().st_size < 1 << 19
    assert b"x" * 500 in path.read_bytes()


async def test_deleted_texts_are_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "responses.sqlite"
    store = await opened(MANY, path)
    await keep(store, "r1", text="a secret of hers")
    await store.delete("ann", "r1")
    store.close()
    assert b"secret of hers" not in path.read_bytes()


async def test_start_does_not_wait_on_the_loop_for_the_file(tmp_path: Path) -> None:
    """Another process holds it."""
    path = tmp_path / "responses.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    opening = asyncio.ensure_future(opened(MANY, path))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not opening.done()
    other.execute("COMMIT")
    store = await opening
    other.close()
    store.close()


async def test_file_that_does_not_answer_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As that of a network file system whose server is gone."""
    path = tmp_path / "responses.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    first = ResponseStore(MANY, path, patience=0.01)
    with pytest.raises(StartError, match=r"not answered for 0.01 s"):
        await first.open()
    other.execute("COMMIT")
    first.close()
    second = ResponseStore(MANY, path, patience=1.0)
    await second.open()
    other.execute("BEGIN EXCLUSIVE")
    await keep(second, "r1")
    assert caplog.messages == ["a response is not stored: the file has not answered for 1 s"]
    other.execute("COMMIT")
    other.close()
    second.close()


async def test_loop_does_not_wait_for_the_file(tmp_path: Path) -> None:
    """Another process holds it."""
    path = tmp_path / "responses.sqlite"
    store = await opened(MANY, path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    saving = asyncio.ensure_future(keep(store, "r1"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not saving.done()
    other.execute("COMMIT")
    await saving
    assert await has(store, "r1")
    other.close()
    store.close()


async def test_file_that_cannot_be_written_costs_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = await opened(MANY, tmp_path / "responses.sqlite")
    await keep(store, "r1")
    with sqlite3.connect(tmp_path / "responses.sqlite") as database:
        database.execute("DROP TABLE items")
    await keep(store, "r2")
    assert caplog.messages == ["a response is not stored: no such table: items"]
    with pytest.raises(UnavailableError):
        await store.conversation("ann", "r1")
    store.close()
    database.close()


async def test_store_takes_calls_at_once(store: ResponseStore) -> None:
    await asyncio.gather(*(keep(store, f"r{number}") for number in range(20)))
    assert all([await has(store, f"r{number}") for number in range(20)])


async def test_unusable_file_is_an_error_of_the_start(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.write_text("no database, and long enough for SQLite to see that" * 100)
    later = tmp_path / "later"
    database = sqlite3.connect(later)
    database.execute("PRAGMA user_version = 9")
    database.close()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (foreign, later, fifo, tmp_path, tmp_path / "missing" / "file"):
        store = ResponseStore(MANY, path)
        with pytest.raises(StartError, match="LLM_RESPONSE_STORE"):
            await store.open()
        store.close()
