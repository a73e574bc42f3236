"""The memory budget that loaded models share, in bytes and in number.

Idle models are evicted, least recently used first. Where none is idle, models take turns: a claim waits for a while,
then the model that was loaded first takes no new requests, ends those that it has, and leaves.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.processes.cgroups import memory_limit
from llm_inference_api.processes.running_time import running_time

_SHARE = 0.9
"""Fraction of the machine's memory that is the default budget; the rest is for the system and the server process."""


class Tenant(Protocol):
    """A model that can be loaded and evicted."""

    last_used: float
    """Seconds on the monotonic clock."""

    @property
    def idle(self) -> bool:
        """Whether the model is loaded and serves no request."""

    async def unload(self) -> None:
        """Lets the model end its requests, and unloads it. Returns when its memory is free."""

    def drained(self) -> Awaitable[None]:
        """Returns when the model serves no request; if it is being unloaded, when it has left."""


@dataclass(eq=False)
class MemoryBudget:
    """The memory budget of all models. Claims are served first come, first served, and wait until there is room."""

    bytes: int
    models: int | None
    """Maximum number of loaded models; None for no limit."""
    patience: float
    """Seconds that a request waits for a model to leave the memory."""
    sharers: int = 1
    """Number of models that are served; it bounds what one takes unasked."""
    _tenants: dict[Tenant, int] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _claims: int = 0
    """Claims that wait, the one whose turn it is included."""

    @property
    def share(self) -> int:
        """Bytes for each model if all that are served, or as many as may be, are in memory."""
        return self.bytes // max(1, min(self.sharers, self.models or self.sharers))

    @property
    def used(self) -> int:
        """Bytes that loaded models have claimed."""
        return sum(self._tenants.values())

    async def claim(self, tenant: Tenant, size: int) -> None:
        """Claims `size` bytes for a model; others leave the memory until it fits.

        Raises:
            ModelFailedError: The model exceeds the whole budget.
        """
        if size > self.bytes:
            raise ModelFailedError(
                f"the model needs {_gib(size)} of memory with its cache, and the budget (LLM_MEMORY_BUDGET) is "
                f"{_gib(self.bytes)}; use a smaller model, LLM_CONTEXT_LENGTH or LLM_KV_CACHE_TOKENS"
            )
        self._claims += 1
        try:
            async with self._turn:
                await self._make_room(size)
                self._tenants[tenant] = size
        finally:
            self._claims -= 1

    def has_room(self, size: int) -> bool:
        """Returns whether `size` bytes can be claimed at once: they are free, and no other claim waits."""
        return not self._claims and self._fits(size)

    def leave(self, tenant: Tenant) -> None:
        """Releases the model's claim, if it has one."""
        self._tenants.pop(tenant, None)

    def _fits(self, size: int) -> bool:
        return self.used + size <= self.bytes and (self.models is None or len(self._tenants) < self.models)

    async def _make_room(self, size: int) -> None:
        """Returns when `size` bytes are free."""
        since = running_time().time()
        leaving: asyncio.Future[None] | None = None
        while not self._fits(size):
            idle = [tenant for tenant in self._tenants if tenant.idle]
            if idle:
                await min(idle, key=lambda tenant: tenant.last_used).unload()
                continue
            left = since + self._longest_stay - running_time().time()
            if left <= 0 and (leaving is None or leaving.done()):
                oldest = next(iter(self._tenants))
                leaving = asyncio.ensure_future(oldest.unload())  # Goes on if the claim is given up.
            await self._change(left if leaving is None else None)

    @property
    def _longest_stay(self) -> float:
        """Seconds for which a claim waits for a model to become idle.

        Half of a request's patience for all claims together: the other half is for ending requests and for loading.
        """
        return self.patience / 2 / self._claims

    async def _change(self, timeout: float | None) -> None:
        """Returns when a model becomes idle or has left, or after the timeout in seconds."""
        drains = [asyncio.ensure_future(tenant.drained()) for tenant in self._tenants]
        try:
            await asyncio.wait(drains, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for drain in drains:
                drain.cancel()


def available_memory() -> int:
    """Returns the default budget in bytes: 90 % of the machine's memory or of the least limit of a control group."""
    machine = machine_memory()
    return int(min(machine, memory_limit() or machine) * _SHARE)


def machine_memory(name: str = "MemTotal") -> int:
    """Returns a value of /proc/meminfo in bytes. Raises OSError if it has none of this name."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise OSError(f"/proc/meminfo has no {name}")


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
