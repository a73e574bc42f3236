"""`Generation`: one request for text, from admission to its last event."""

from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Self

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.answer_reading import Reading
from llm_inference_api.generation.answers import Answer, whole_answers
from llm_inference_api.generation.record import GenerationRecord, Records
from llm_inference_api.generation.several import Several
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.models.model import Model, Stream
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.adapters import Adapter
from llm_inference_api.requests.events import End, Event, Progress, Stage, Times, Usage
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta
from llm_inference_api.rpc.call import Call


class Generations:
    """Opens generations: submits requests to models, enforces the time limits and records the outcome."""

    def __init__(self, registry: Registry, timeouts: Timeouts, records: Records, slots: int = 1) -> None:
        """Creates the factory; `slots` is the number of answers that a model computes at once."""
        self._slots = slots
        self._registry = registry
        self._timeouts = timeouts
        self._records = records

    @asynccontextmanager
    async def open(self, request: GenerationRequest, call: Call, *, streamed: bool) -> AsyncGenerator["Generation"]:
        """Submits a request and yields its generation. Leaving the block cancels answers that have not ended.

        The outcome is recorded once, when the block exits.

        Args:
            request: The request; an empty model id stands for the only served model.
            call: The RPC that makes the request; its deadline and caller apply.
            streamed: Whether the answer is streamed, for the span.

        Raises:
            ModelNotFoundError: The model is not served. Raised on entry.
            PoisonRequestError: The request was running in several crashes. Raised on entry.
            DeadlineError: The block exceeded the time limit.
        """
        request = self._adapted(request)
        model = self._registry.get(request.model)
        request = replace(
            request,
            model=model.status.id,
            caller=call.caller,
            session=call.session or request.session,
            is_whole=not streamed,
            is_background=call.is_background,
        )
        with self._records.generation(request, call, streamed=streamed) as record:
            async with self._timeouts.within(call):
                stream = model.open(request, call.identity)
                try:
                    yield Generation(request, model, stream, record, self._timeouts.progress_interval)
                finally:
                    for entry in stream.take_entries():
                        record.entered(entry)
                    stream.close()

    @asynccontextmanager
    async def open_several(
        self, requests: Sequence[GenerationRequest], call: Call, *, streamed: bool
    ) -> AsyncGenerator[Several]:
        """Yields the generations of several prompts as one; see `open`. They share the time limit of one request.

        Args:
            requests: Requests to the same model for the same number of answers.
            call: The RPC that makes the requests.
            streamed: Whether the answers are streamed.

        Raises:
            ModelNotFoundError: The model is not served. Raised on entry.
            DeadlineError: The block exceeded the time limit.
        """
        requests = [self._adapted(request) for request in requests]
        model = self._registry.get(requests[0].model)
        known = [replace(request, model=model.status.id) for request in requests]
        open_one = partial(self.open, call=call, streamed=streamed)
        several = Several(known, lambda: model.status, open_one, max(1, self._slots // requests[0].n))
        async with self._timeouts.within(call):
            try:
                yield several
            finally:
                await several.close()

    def _adapted(self, request: GenerationRequest) -> GenerationRequest:
        """Returns the request to the model itself, with the adapter that the model's id names.

        Raises InvalidFieldError if the request lists adapters too.
        """
        model, adapter = self._registry.adapted(request.model)
        if adapter is None:
            return request
        if request.adapters:
            raise InvalidFieldError("adapters", "may not be given with a model whose id names one")
        return replace(request, model=model, adapters=(Adapter(adapter),))


class Generation:
    """Async iterator over the events of one request; events of its answers are interleaved as they arrive.

    Iteration raises the error that ends the request early: a failed load, OverloadedError or an error of the worker.
    """

    def __init__(
        self,
        request: GenerationRequest,
        model: Model,
        stream: Stream,
        record: GenerationRecord,
        interval: float,
    ) -> None:
        self.request = request
        """The request, with the resolved model id and the caller's name."""
        self._model = model
        self._stream = stream
        self._record = record
        self._interval = interval
        self._events: deque[Event] = deque()
        self._readings = self._new_readings()
        self._ended: list[Usage] = []
        self._entered: dict[Stage, float] = {}
        """When the first answer entered each stage."""
        self._finish_reasons: list[str] = []
        self._attempt = stream.attempt
        stream.is_sent_when_read = False

    @property
    def status(self) -> ModelStatus:
        """Current status of the model that serves the request."""
        return self._model.status

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Returns the next event; Progress if none arrived within the progress interval."""
        while not self._events:
            if self._is_over:
                raise StopAsyncIteration
            self._read(await self._stream.next(self._interval))
        event = self._events.popleft()
        if not isinstance(event, Progress):
            self._stream.is_sent = True
        return event

    async def whole(self) -> tuple[list[Answer], Usage]:
        """Waits for the end and returns all answers and their total usage. Raises as iteration does."""
        while not self._is_over:
            self._read(await self._stream.next(None))  # The first deltas alone: they record the time to first token.
            if not self._is_over:
                await self._stream.wait_ended()
        return whole_answers(self._events)

    @property
    def _is_over(self) -> bool:
        return len(self._ended) == self.request.n

    def _read(self, arrived: tuple[Delta, ...] | Progress) -> None:
        """Converts deltas or progress from the worker into events."""
        if isinstance(arrived, Progress):
            self._events.append(arrived)
            return
        if self._attempt != self._stream.attempt:
            self._begin_again()
        for entry in self._stream.take_entries():
            self._record.entered(entry)
            self._entered.setdefault(entry.stage, entry.at)
        self._record.text_arrived()
        for delta in arrived:
            for event in self._readings[delta.answer].read(delta):
                self._events.append(self._ending(event, delta) if isinstance(event, End) else event)

    def _new_readings(self) -> list[Reading]:
        return [Reading(index) for index in range(self.request.n)]

    def _begin_again(self) -> None:
        """Drops what was read of an attempt that was lost with the worker."""
        self._attempt = self._stream.attempt
        self._events.clear()
        self._readings = self._new_readings()
        self._entered.clear()
        self._ended.clear()
        self._finish_reasons.clear()

    def _ending(self, end: End, delta: Delta) -> End:
        """Returns an answer's End; the last one carries the total usage and is recorded."""
        assert delta.usage is not None
        self._ended.append(delta.usage)
        self._finish_reasons.append(end.reason.value)
        if not self._is_over:
            return end
        usage = _sum(self._ended)._replace(times=self._times(delta) if self.request.wants_times else None)
        self._record.ended(usage, self._finish_reasons)
        return end._replace(usage=usage)

    def _times(self, last: Delta) -> Times:
        first_token = self._entered[Stage.DECODE]
        return Times(self._entered[Stage.QUEUED], self._entered[Stage.PREFILL], first_token, last.ended_at)


def _sum(ended: list[Usage]) -> Usage:
    """Returns the total usage: prompt tokens count once; cached tokens are those that every answer reused."""
    completion = sum(usage.completion_tokens for usage in ended)
    reasoning = sum(usage.reasoning_tokens for usage in ended)
    cached = min(usage.cached_tokens for usage in ended)
    return Usage(ended[0].prompt_tokens, completion, cached, reasoning_tokens=reasoning)
