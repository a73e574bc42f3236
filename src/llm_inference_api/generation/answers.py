"""How an RPC gets its answers from a model: within its time."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from llm_inference_api.errors import DeadlineError
from llm_inference_api.generation.choices import answer
from llm_inference_api.generation.reading import read
from llm_inference_api.generation.record import Generation, Witness
from llm_inference_api.models.registry import Registry, ServedModel
from llm_inference_api.observability.spans import Asked
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.requests.request import Delta, GenerationRequest, Progress
from llm_inference_api.rpc.call import Call


@dataclass(frozen=True, slots=True)
class Patience:
    """How long requests may take, and how long streams may be silent, in seconds."""

    default_timeout: float
    longest_timeout: float
    progress_interval: float


@dataclass(frozen=True, slots=True)
class Question:
    """A request, who is to answer it, and how often."""

    model: ServedModel
    request: GenerationRequest
    count: int = 1
    """Answers that are wanted."""
    created: int = field(default_factory=lambda: int(time.time()))
    """Seconds since 1970-01-01 UTC."""

    def asked(self, *, streamed: bool) -> Asked:
        """Returns what is known of the request before it is answered."""
        return Asked(self.model.status.id, self.request, self.count, streamed)


class Answers:
    """Asks models."""

    def __init__(self, registry: Registry, patience: Patience, witness: Witness) -> None:
        self._registry = registry
        self._patience = patience
        self._witness = witness

    def model(self, name: str) -> ServedModel:
        """Returns the model of this name. Raises ModelNotFoundError."""
        return self._registry.get(name)

    async def whole(self, question: Question, call: Call) -> list[Delta]:
        """Returns all deltas of all answers, the last of which has the usage. Raises what ends the request early."""
        with self._witness.generation(question.asked(streamed=False), call) as seen:
            async with self._within_time(call), aclosing(self._items(question, seen, call, None)) as items:
                return [item async for item in items if isinstance(item, Delta)]

    async def parts(self, question: Question, call: Call) -> AsyncGenerator[Delta | Progress]:
        """Yields the deltas as they come, and where the request stands while none do. Raises as `whole`."""
        interval = self._patience.progress_interval
        with self._witness.generation(question.asked(streamed=True), call) as seen:
            async with self._within_time(call), aclosing(self._items(question, seen, call, interval)) as items:
                async for item in items:
                    yield item

    async def inquire(self, model: ServedModel, inquiry: Inquiry, call: Call) -> Findings:
        """Returns what the model's worker finds. Raises what it says, or DeadlineError."""
        call.facts["model"] = model.status.id
        async with self._within_time(call):
            return await model.inquire(inquiry)

    async def embed(self, model: ServedModel, embed: Embed, call: Call) -> Embeddings:
        """Returns the embeddings that the model's worker computes. Raises as `inquire`."""
        with self._witness.embedding(model.status.id, call) as seen:
            async with self._within_time(call):
                found = await model.embed(embed)
            seen.saw(sum(embedding.tokens for embedding in found))
        return found

    @staticmethod
    async def _items(
        question: Question, seen: Generation, call: Call, interval: float | None
    ) -> AsyncGenerator[Delta | Progress]:
        """Yields what the model has for the request."""
        request = replace(question.request, caller=call.caller)
        raw = answer(question.model, request, question.count, interval)
        async with aclosing(read(question.model, request, raw)) as items:
            async for item in items:
                if isinstance(item, Delta):
                    seen.saw(item)
                yield item

    @asynccontextmanager
    async def _within_time(self, call: Call) -> AsyncGenerator[None]:
        """Raises DeadlineError when the request has taken too long. A caller's own deadline is gRPC's to enforce."""
        has_deadline = call.time_remaining() is not None
        limit = self._patience.longest_timeout if has_deadline else self._patience.default_timeout
        try:
            async with asyncio.timeout(min(limit, self._patience.longest_timeout)) as timer:
                yield
        except TimeoutError:
            if not timer.expired():
                raise
            problem = f"the request took longer than {limit:g} s, the service's limit; ask for fewer tokens"
            raise DeadlineError(problem) from None


def new_id(kind: str) -> str:
    """Returns an id that no other answer has."""
    return f"{kind}-{uuid.uuid4().hex}"
