"""`Store`: files and batches on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from llm_inference_api.batches.batches import Batches
from llm_inference_api.batches.database import Database
from llm_inference_api.batches.files import Bounds, Files
from llm_inference_api.errors import PreconditionError

Args = ParamSpec("Args")
Result = TypeVar("Result")


class Store:
    """The files and the batches of all callers, in one directory."""

    def __init__(self, directory: Path, bounds: Bounds) -> None:
        self.bounds = bounds
        self._database = Database(directory)
        self.files = Files(self._database, bounds)
        self.batches = Batches(self._database, self.files, bounds)

    async def open(self) -> None:
        """Opens the store. Raises StartError if it cannot be used, such as where another service uses it."""
        await self._database.open()
        await self.do(self.files.discard_unfinished)

    async def close(self) -> None:
        """Waits for what has begun, and closes the store."""
        await self._database.close()

    async def do(self, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        """Returns what a method of `files` or `batches` returns, in their thread; raises as it and as `Database.do`."""
        return await self._database.do(work, *args, **kwargs)


class NoStore(Store):
    """Refuses all that would be done with a store, where there is no directory for one."""

    def __init__(self) -> None:
        super().__init__(Path(), Bounds(0, 0, 0, 0))

    async def do(self, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:  # noqa: ARG002
        """Raises PreconditionError."""
        problem = "files and batches are off here: the service has no directory for them (LLM_BATCH_STORE)"
        raise PreconditionError("BATCHES_OFF", problem)
