"""Which caller's line is computed next."""

import asyncio

from llm_inference_api.batches.places import Places


class Lines:
    """Lines that hold their place until they are told to leave."""

    def __init__(self, count: int) -> None:
        self.places = Places(count)
        self.begun: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def come(self, *names: str) -> None:
        """Lets lines wait for a place; the first letter of a name is the caller."""
        for name in names:
            self._leave[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._hold(name))

    async def _hold(self, name: str) -> None:
        async with self.places.one(name[0]):
            self.begun.append(name)
            await self._leave[name].wait()

    async def leave(self, name: str) -> None:
        self._leave[name].set()
        await self._tasks[name]
        await self.settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait({self._tasks[name]})
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_lines_of_one_caller_come_in_order() -> None:
    """As many as there are places, then one for each that leaves."""
    lines = Lines(2)
    lines.come("a1", "a2", "a3")
    await lines.settle()
    assert lines.begun == ["a1", "a2"]
    await lines.leave("a2")
    assert lines.begun == ["a1", "a2", "a3"]


async def test_caller_without_a_place_is_next() -> None:
    """However many lines another one has waiting since before."""
    lines = Lines(2)
    lines.come("a1", "a2", "a3", "a4")
    await lines.settle()
    lines.come("b1")
    await lines.leave("a1")
    assert lines.begun == ["a1", "a2", "b1"]


async def test_callers_with_equally_many_places_take_turns() -> None:
    """Each is served once before one is served again."""
    lines = Lines(1)
    lines.come("a1", "a2", "b1", "b2", "c1")
    await lines.settle()
    for name in ("a1", "b1", "c1", "a2"):
        await lines.leave(name)
    assert lines.begun == ["a1", "b1", "c1", "a2", "b2"]


async def test_cancelled_line_gives_its_place_to_another() -> None:
    """Whether it waits or has one."""
    lines = Lines(1)
    lines.come("a1", "a2", "b1", "a3")
    await lines.settle()
    await lines.cancel("b1")
    await lines.cancel("a1")
    assert lines.begun == ["a1", "a2"]
    await lines.leave("a2")
    assert lines.begun == ["a1", "a2", "a3"]
    await lines.leave("a3")
    assert lines.places.taken == 0


async def test_place_that_comes_with_the_cancel_is_not_lost() -> None:
    """A line that is cancelled just when it is given a place hands it on."""
    lines = Lines(1)
    lines.come("a1", "b1", "c1")
    await lines.settle()
    lines._leave["a1"].set()
    await asyncio.sleep(0)  # a1 leaves, and b1 is given its place but does not run yet.
    lines._tasks["b1"].cancel()
    await lines.settle()
    assert lines.begun[-1] == "c1"
