"""Reports the download of a model's files, as Ollama reports a pull."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.ollama.models import digest_of
from llm_inference_api.models.model import Model
from llm_inference_api.requests.model_status import ModelStatus, State

PULLED: Json = {"status": "success"}
_AT_WORK = (State.DOWNLOADING, State.CONVERTING, State.QUANTIZING)


async def pull(model: Model) -> AsyncGenerator[Json]:
    """Yields where the download is, and `PULLED` at its end; it goes on where the reader leaves.

    Raises:
        ServiceError: The files cannot be had, or the service stops.
    """
    yield {"status": "pulling manifest"}
    download = asyncio.ensure_future(model.download())
    try:
        async with aclosing(model.watch()) as statuses:
            changed = asyncio.ensure_future(anext(statuses))
            while not download.done():
                await asyncio.wait({download, changed}, return_when=asyncio.FIRST_COMPLETED)
                if changed.done():
                    status = changed.result()
                    if status.state in _AT_WORK:
                        yield _progress(status)
                    changed = asyncio.ensure_future(anext(statuses))
            changed.cancel()
            await asyncio.wait({changed})
        await download
    finally:
        download.cancel()
    yield PULLED


def _progress(status: ModelStatus) -> Json:
    """Returns the line for a status; clients show those with the same digest as one bar."""
    if status.state is not State.DOWNLOADING or status.progress is None:
        return {"status": status.state.value.lower()}
    counts = {"total": round(status.progress.total), "completed": round(status.progress.done)}
    return {"status": "pulling", "digest": f"sha256:{digest_of(status.id, status)}", **counts}
