"""The memory budget that loaded models share, in bytes and in number; idle models are evicted, least recent first."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from llm_inference_api.errors import ModelFailedError, OverloadedError
from llm_inference_api.processes.running_time import running_time

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
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
        """Unloads the model. Returns when its memory is free."""

    def drained(self) -> Awaitable[None]:
        """Returns when the model serves no request."""


@dataclass(eq=False)
class MemoryBudget:
    """The memory budget of all models. Claims are served first come, first served."""

    bytes: int
    models: int | None
    """Maximum number of loaded models; None for no limit."""
    patience: float
    """Seconds that a claim waits for a busy model to become idle."""
    _tenants: dict[Tenant, int] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def used(self) -> int:
        """Bytes that loaded models have claimed."""
        return sum(self._tenants.values())

    async def claim(self, tenant: Tenant, size: int) -> None:
        """Claims `size` bytes for a model; evicts idle models, least recently used first, until it fits.

        Raises:
            ModelFailedError: The model exceeds the whole budget.
            OverloadedError: The loaded models stayed busy for `patience` seconds.
        """
        if size > self.bytes:
            raise ModelFailedError(
                f"the model needs {_gib(size)} of memory with its cache, and the budget (LLM_MEMORY_BUDGET) is "
                f"{_gib(self.bytes)}; use a smaller model, LLM_CONTEXT_LENGTH or LLM_KV_CACHE_TOKENS"
            )
        try:
            async with running_time().timeout(self.patience), self._turn:
                while not self._fits(size):
                    await self._evict()
                self._tenants[tenant] = size
        except TimeoutError:
            problem = f"all models in memory are busy, and none became idle within {self.patience:g} s"
            raise OverloadedError(problem, self.patience) from None

    def leave(self, tenant: Tenant) -> None:
        """Releases the model's claim, if it has one."""
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
    """Returns the default budget in bytes: 90 % of the machine's memory or the container's limit (cgroup v2)."""
    limits = [_machine_memory()]
    with suppress(OSError, ValueError):
        limits.append(int(_CGROUP_LIMIT.read_text()))
    return int(min(limits) * _SHARE)


def _machine_memory() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) << 10
    raise OSError("/proc/meminfo has no MemTotal")


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
