import asyncio
from dataclasses import dataclass, field

import pytest

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.memory_budget import MemoryBudget, available_memory


@dataclass(eq=False)
class FakeTenant:
    """A model that is in memory."""

    room: MemoryBudget
    last_used: float = 0.0
    idle: bool = True
    is_leaving: asyncio.Event = field(default_factory=asyncio.Event)
    """It takes no new requests."""
    gone: bool = False
    _drained: asyncio.Event = field(default_factory=asyncio.Event)

    async def unload(self) -> None:
        self.is_leaving.set()
        if not self.idle:
            await self._drained.wait()
        self.gone = True
        self.room.leave(self)

    async def drained(self) -> None:
        await self._drained.wait()

    def end_requests(self) -> None:
        self.idle = True
        self._drained.set()


def room(models: int | None = None, patience: float = 10.0) -> MemoryBudget:
    return MemoryBudget(bytes=100, models=models, patience=patience)


async def test_longest_unused_idle_model_leaves_first() -> None:
    """Memory is freed by those whose last use is longest ago, and by no more of them than needed."""
    place = room()
    old, new = FakeTenant(place, last_used=1), FakeTenant(place, last_used=2)
    await place.claim(new, 40)
    await place.claim(old, 40)
    await place.claim(FakeTenant(place), 50)
    assert (old.gone, new.gone) == (True, False)


@pytest.mark.parametrize(
    ("sharers", "models", "share"), [(1, None, 100), (4, None, 25), (4, 2, 50), (2, 4, 50), (0, 1, 100)]
)
def test_share_is_that_of_as_many_models_as_may_be_in_memory(sharers: int, models: int | None, share: int) -> None:
    """So what one takes unasked does not depend on which others are loaded."""
    assert MemoryBudget(bytes=100, models=models, patience=1, sharers=sharers).share == share


async def test_number_of_models_is_bounded() -> None:
    """A small model too makes another one leave when there may be only so many."""
    place = room(models=1)
    first = FakeTenant(place)
    await place.claim(first, 1)
    await place.claim(FakeTenant(place), 1)
    assert first.gone


async def test_busy_model_is_waited_for() -> None:
    """A model that serves requests leaves when these have ended."""
    place = room()
    busy = FakeTenant(place, idle=False)
    await place.claim(busy, 90)
    claim = asyncio.ensure_future(place.claim(FakeTenant(place), 50))
    await asyncio.sleep(0)
    assert not claim.done()
    busy.end_requests()
    await claim
    assert busy.gone


async def test_models_that_stay_busy_take_turns() -> None:
    """After a share of the patience, the model that was loaded first ends its requests and leaves, no other."""
    place = room(models=2, patience=0.05)
    first, second = FakeTenant(place, last_used=2, idle=False), FakeTenant(place, last_used=1, idle=False)
    await place.claim(first, 1)
    await place.claim(second, 1)
    claim = asyncio.ensure_future(place.claim(FakeTenant(place), 1))
    async with asyncio.timeout(20):
        await first.is_leaving.wait()
        assert not claim.done()
        first.end_requests()
        await claim
    assert (first.gone, second.is_leaving.is_set()) == (True, False)


async def test_model_that_becomes_idle_leaves_in_place_of_one_that_is_still_ending_its_requests() -> None:
    """A long answer does not hold up the claim where there is another way."""
    place = room(models=2, patience=0.02)
    long, short = FakeTenant(place, idle=False), FakeTenant(place, idle=False)
    await place.claim(long, 1)
    await place.claim(short, 1)
    claim = asyncio.ensure_future(place.claim(FakeTenant(place), 1))
    async with asyncio.timeout(20):
        await long.is_leaving.wait()
        short.end_requests()
        await claim
    assert (long.gone, short.gone) == (False, True)


async def test_claim_that_is_given_up_leaves_the_memory_as_it_was() -> None:
    """The next one gets its turn."""
    place = room()
    busy = FakeTenant(place, idle=False)
    await place.claim(busy, 90)
    claim = asyncio.ensure_future(place.claim(FakeTenant(place), 50))
    await asyncio.sleep(0)
    claim.cancel()
    await asyncio.wait({claim})
    assert place.used == 90
    await place.claim(FakeTenant(place), 10)


async def test_model_larger_than_the_budget_is_refused_with_both_numbers() -> None:
    """What can never fit evicts nobody."""
    place = MemoryBudget(bytes=1 << 30, models=None, patience=1)
    idle = FakeTenant(place)
    await place.claim(idle, 1 << 29)
    with pytest.raises(ModelFailedError, match=r"needs 3\.00 GiB .* is 1\.00 GiB"):
        await place.claim(FakeTenant(place), 3 << 30)
    assert not idle.gone


def test_budget_by_default_is_less_than_the_machine_has() -> None:
    """The system needs some memory too."""
    assert 0 < available_memory() < 1 << 50
