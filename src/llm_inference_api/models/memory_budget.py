"""Who may be in memory: at most so many models, within a budget of bytes. Idle ones leave for those that are needed."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llm_inference_api.errors import ModelFailedError, OverloadedError

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SHARE = 0.9
"""Of the machine's memory, where the settings name no budget: the system and the service need some too."""


class Tenant(Protocol):
    """A model that may be in memory."""

    last_used: float
    """Seconds on the monotonic clock."""

    @property
    def idle(self) -> bool:
        """Whether the model is in memory and nobody uses it."""

    async def unload(self) -> None:
        """Leaves the memory."""

    def drained(self) -> Awaitable[None]:
        """Returns when nobody uses the model."""


@dataclass(eq=False)
class MemoryBudget:
    """The memory that models share. Claims are served in the order in which they come."""

    bytes: int
    models: int | None
    """Models in memory at most; None for any number."""
    patience: float
    """Seconds that a claim waits for a busy model to become idle."""
    _tenants: dict[Tenant, int] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def used(self) -> int:
        """Bytes that are claimed."""
        return sum(self._tenants.values())

    async def claim(self, tenant: Tenant, size: int) -> None:
        """Makes room for a model, by unloading those whose last use is longest ago and that nobody uses now.

        Raises ModelFailedError where the model would not fit alone, OverloadedError where all others stay busy.
        """
        if size > self.bytes:
            raise ModelFailedError(
                f"the model needs {_shown(size)} of memory with its cache, and the budget (LLM_MEMORY_BUDGET) is "
                f"{_shown(self.bytes)}; use a smaller model, LLM_CONTEXT_LENGTH or LLM_KV_CACHE_TOKENS"
            )
        try:
            async with asyncio.timeout(self.patience), self._turn:
                while not self._fits(size):
                    await self._evict()
                self._tenants[tenant] = size
        except TimeoutError:
            problem = f"all models in memory are busy, and none became idle within {self.patience:g} s"
            raise OverloadedError(problem, self.patience) from None

    def leave(self, tenant: Tenant) -> None:
        """Gives back what the model claimed, if it did."""
        self._tenants.pop(tenant, None)

    def _fits(self, size: int) -> bool:
        return self.used + size <= self.bytes and (self.models is None or len(self._tenants) < self.models)

    async def _evict(self) -> None:
        idle = [tenant for tenant in self._tenants if tenant.idle]
        if idle:
            await min(idle, key=lambda tenant: tenant.last_used).unload()
            return
        waits = {asyncio.ensure_future(tenant.drained()) for tenant in self._tenants}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def available_memory() -> int:
    """Returns the bytes that models may take where the settings name no budget."""
    limits = [_machine_memory()]
    with suppress(OSError, ValueError):
        limits.append(int(_CGROUP_LIMIT.read_text()))
    return int(min(limits) * _SHARE)


def _machine_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/meminfo has no MemTotal")


def _shown(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
