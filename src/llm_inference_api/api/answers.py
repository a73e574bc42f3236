"""How an RPC gets its answers from a model: within its time, and noted for the log and the metrics."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc.aio

from llm_inference_api.api.calls import current_call
from llm_inference_api.api.choices import answer
from llm_inference_api.api.reading import read
from llm_inference_api.engine.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.engine.request import Delta, GenerationRequest, Progress
from llm_inference_api.errors import DeadlineError, OverloadedError
from llm_inference_api.models.registry import Registry, ServedModel
from llm_inference_api.observability.metrics import Metrics

Context = grpc.aio.ServicerContext[Any, Any]


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


class Answers:
    """Asks models."""

    def __init__(self, registry: Registry, patience: Patience, metrics: Metrics) -> None:
        self._registry = registry
        self._patience = patience
        self._metrics = metrics

    def model(self, name: str) -> ServedModel:
        """Returns the model of this name. Raises ModelNotFoundError."""
        return self._registry.get(name)

    async def whole(self, question: Question, context: Context) -> list[Delta]:
        """Returns all deltas of all answers, the last of which has the usage. Raises what ends the request early."""
        async with self._within_time(context), aclosing(self._noted(question, None)) as items:
            return [item async for item in items if isinstance(item, Delta)]

    async def parts(self, question: Question, context: Context) -> AsyncGenerator[Delta | Progress]:
        """Yields the deltas as they come, and where the request stands while none do. Raises as `whole`."""
        interval = self._patience.progress_interval
        async with self._within_time(context), aclosing(self._noted(question, interval)) as items:
            async for item in items:
                yield item

    async def inquire(self, model: ServedModel, inquiry: Inquiry, context: Context) -> Findings:
        """Returns what the model's worker finds. Raises what it says, or DeadlineError."""
        current_call.get().facts["model"] = model.status.id
        async with self._within_time(context):
            return await model.inquire(inquiry)

    async def embed(self, model: ServedModel, embed: Embed, context: Context) -> Embeddings:
        """Returns the embeddings that the model's worker computes. Raises as `inquire`."""
        call, name = current_call.get(), model.status.id
        call.facts["model"] = name
        async with self._within_time(context):
            try:
                found = await model.embed(embed)
            except OverloadedError:
                self._metrics.rejected(name, "overloaded")
                raise
        call.facts["input_tokens"] = tokens = sum(embedding.tokens for embedding in found)
        self._metrics.embedded(name, tokens)
        return found

    async def _noted(self, question: Question, interval: float | None) -> AsyncGenerator[Delta | Progress]:
        """Yields what the model has for the request, and notes how long that took."""
        call, model = current_call.get(), question.model.status.id
        call.facts |= {"model": model, "answer_id": question.request.id}
        first_at = None
        try:
            request = replace(question.request, caller=call.caller)
            raw = answer(question.model, request, question.count, interval)
            async with aclosing(read(question.model, request, raw)) as items:
                async for item in items:
                    if isinstance(item, Delta):
                        first_at = first_at or self._note_first(model, call.started_at)
                        if item.usage:
                            self._note_end(model, item, first_at)
                    yield item
        except OverloadedError:
            self._metrics.rejected(model, "overloaded")
            raise

    def _note_first(self, model: str, started_at: float) -> float:
        now = time.monotonic()
        self._metrics.first_token(model, now - started_at)
        current_call.get().facts["ttft_ms"] = round((now - started_at) * 1000, 1)
        return now

    def _note_end(self, model: str, last: Delta, first_at: float) -> None:
        assert last.finish_reason is not None
        assert last.usage is not None
        self._metrics.generated(model, last.finish_reason.value, last.usage, time.monotonic() - first_at)
        current_call.get().facts |= {
            "input_tokens": last.usage.prompt_tokens,
            "cached_tokens": last.usage.cached_tokens,
            "output_tokens": last.usage.completion_tokens,
            "finish_reason": last.finish_reason.value,
        }

    @asynccontextmanager
    async def _within_time(self, context: Context) -> AsyncGenerator[None]:
        """Raises DeadlineError when the request has taken too long. A caller's own deadline is gRPC's to enforce."""
        has_deadline = context.time_remaining() is not None
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
