"""A store in a directory of the test's, and a wire whose lines are JSON objects with an `id`."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from llm_inference_api.batches.files import Bounds
from llm_inference_api.batches.lines import Heading, LineWire
from llm_inference_api.batches.records import (
    AnsweredLine,
    BatchJob,
    BatchRequest,
    Line,
    LineProblem,
    Status,
    StoredFile,
    Tokens,
)
from llm_inference_api.batches.runner import Runner
from llm_inference_api.batches.store import Store
from llm_inference_api.observability.batch_metrics import BatchMetrics
from llm_inference_api.observability.metrics import Metrics

BOUNDS = Bounds(total_bytes=1 << 20, caller_bytes=1 << 19, caller_count=3, lifetime=7 * 86_400)
ENDPOINT = "/v1/completions"


def lines_of(*texts: str) -> list[Line]:
    return [Line(number, text.encode()) for number, text in enumerate(texts, 1)]


def requests(count: int) -> list[Line]:
    return lines_of(*(json.dumps({"id": f"r{at}"}) + "\n" for at in range(count)))


class FakeWire(LineWire):
    """Answers each line with its id; each waits for `gate`, and does first what `before` does."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.before: Callable[[BatchJob, Line], None] = lambda _batch, _line: None
        self.computing: list[tuple[str, int]] = []
        """Caller and line, in the order in which they were begun."""

    def check(self, line: Line, endpoint: str) -> Heading | LineProblem:
        try:
            return Heading(json.loads(line.data)["id"], "m")
        except (ValueError, KeyError):
            return LineProblem("invalid", "no id", None, line.number)

    async def answer(self, batch: BatchJob, line: Line) -> AnsweredLine:
        self.computing.append((batch.caller, line.number))
        await self.gate.wait()
        self.before(batch, line)
        name = json.loads(line.data)["id"]
        return AnsweredLine(line.number, f"{name}\n".encode(), name.startswith("bad"), Tokens(input=2, output=3))

    def give_up(self, line: Line, code: str, message: str) -> AnsweredLine:
        return AnsweredLine(line.number, f"{code} {json.loads(line.data)['id']}\n".encode(), is_error=True)


def metrics() -> BatchMetrics:
    return Metrics("test").batches


async def stored(store: Store, lines: list[Line], caller: str = "ana", name: str = "in.jsonl") -> StoredFile:
    """Returns an uploaded file."""
    number = await store.do(store.files.begin, caller)
    await store.do(store.files.append, number, lines)
    return await store.do(store.files.finish, number, name, None)


async def created(store: Store, lines: list[Line], caller: str = "ana", window: int = 3600) -> BatchJob:
    """Returns a new batch of the lines."""
    file = await stored(store, lines, caller)
    return await store.do(store.batches.create, BatchRequest(caller, ENDPOINT, file.id, window))


async def until(condition: Callable[[], bool]) -> None:
    """Waits until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what changes it is in another thread, or has no event
            await asyncio.sleep(0)


async def reaches(store: Store, batch: BatchJob, *statuses: Status) -> BatchJob:
    """Waits until the batch has one of the states, and returns it."""
    async with asyncio.timeout(20):
        while (now := await store.do(store.batches.current, batch)).status not in statuses:
            pass
    return now


async def ended(store: Store, batch: BatchJob) -> BatchJob:
    """Waits for the batch's end, and returns it."""
    return await reaches(store, batch, *(status for status in Status if status.is_final))


async def content(store: Store, batch: BatchJob, file_id: str | None) -> str:
    """Returns the text of a file of the batch's caller; empty for none."""
    if file_id is None:
        return ""
    file = await store.do(store.files.get, batch.caller, file_id)
    return b"".join(line.data for line in await store.do(store.files.read, file.number, 0)).decode()


@asynccontextmanager
async def open_store(directory: Path, bounds: Bounds = BOUNDS) -> AsyncGenerator[Store]:
    """Yields an open store without a runner."""
    store = Store(directory, bounds)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def running(
    directory: Path, wire: LineWire, at_once: int = 2, bounds: Bounds = BOUNDS
) -> AsyncGenerator[tuple[Store, Runner]]:
    """Yields a store and its started runner."""
    store = Store(directory, bounds)
    runner = Runner(store, wire, at_once, metrics())
    await runner.start()
    try:
        yield store, runner
    finally:
        await runner.close()
