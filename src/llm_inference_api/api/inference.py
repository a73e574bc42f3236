"""Generate and Chat, whole and streamed."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from llm_inference_api.api import convert
from llm_inference_api.api.calls import current_call
from llm_inference_api.api.convert import CHAT, GENERATE, Defaults, Heading, Shape
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


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):  # type: ignore[misc]
    """Translates between RPCs and models."""

    def __init__(self, registry: Registry, defaults: Defaults, patience: Patience, metrics: Metrics) -> None:
        self._registry = registry
        self._defaults = defaults
        self._patience = patience
        self._metrics = metrics

    async def Generate(self, request: inference_pb2.GenerateRequest, context: Context) -> Any:
        """Continues a prompt."""
        return await self._whole(GENERATE, *self._generation(request), context)

    async def GenerateStream(self, request: inference_pb2.GenerateRequest, context: Context) -> AsyncGenerator[Any]:
        """Continues a prompt, delta by delta."""
        async with aclosing(self._parts(GENERATE, *self._generation(request), context)) as parts:
            async for part in parts:
                yield part

    async def Chat(self, request: inference_pb2.ChatRequest, context: Context) -> Any:
        """Answers a chat."""
        return await self._whole(CHAT, *self._chat(request), context)

    async def ChatStream(self, request: inference_pb2.ChatRequest, context: Context) -> AsyncGenerator[Any]:
        """Answers a chat, delta by delta."""
        async with aclosing(self._parts(CHAT, *self._chat(request), context)) as parts:
            async for part in parts:
                yield part

    def _generation(self, wire: inference_pb2.GenerateRequest) -> tuple[ServedModel, GenerationRequest]:
        model = self._registry.get(wire.model)
        return model, convert.generate_request(wire, _new_id("gen"), self._defaults)

    def _chat(self, wire: inference_pb2.ChatRequest) -> tuple[ServedModel, GenerationRequest]:
        model = self._registry.get(wire.model)
        return model, convert.chat_request(wire, _new_id("chat"), self._defaults)

    async def _whole(self, shape: Shape, model: ServedModel, request: GenerationRequest, context: Context) -> Any:
        heading = _heading(model, request)
        async with self._within_time(context), aclosing(self._items(model, request, None)) as items:
            deltas = [item async for item in items if isinstance(item, Delta)]
        return convert.whole_answer(shape, heading, deltas)

    async def _parts(
        self, shape: Shape, model: ServedModel, request: GenerationRequest, context: Context
    ) -> AsyncGenerator[Any]:
        heading: Heading | None = _heading(model, request)
        interval = self._patience.progress_interval
        async with self._within_time(context), aclosing(self._items(model, request, interval)) as items:
            async for item in items:
                if isinstance(item, Delta):
                    yield convert.stream_delta(shape, heading, item)
                    heading = None
                else:
                    yield shape.part(progress=convert.progress(item))

    async def _items(
        self, model: ServedModel, request: GenerationRequest, interval: float | None
    ) -> AsyncGenerator[Delta | Progress]:
        """Yields what the model has for the request, and notes how long that took."""
        call = current_call.get()
        call.facts |= {"model": model.status.id, "answer_id": request.id}
        first_at = None
        try:
            async with aclosing(model.stream(request, interval)) as items:
                async for item in items:
                    if isinstance(item, Delta):
                        first_at = first_at or self._note_first(model.status.id, call.started_at)
                        if item.finish_reason:
                            self._note_end(model.status.id, item, first_at)
                    yield item
        except OverloadedError:
            self._metrics.rejected(model.status.id, "overloaded")
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


def _new_id(kind: str) -> str:
    return f"{kind}-{uuid.uuid4().hex}"


def _heading(model: ServedModel, request: GenerationRequest) -> Heading:
    return Heading(request.id, int(time.time()), model.status.id, request.sampling.seed)
