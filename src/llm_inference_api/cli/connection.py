"""The command line's gRPC client."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference.v1 import generation_pb2, inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc
from llm_inference_api.cli.credentials import Access
from llm_inference_api.cli.tracing import call_tracing
from llm_inference_api.rpc.health import model_name

Parameters = Mapping[str, Any]
"""Fields of a request by name, such as `temperature`."""
Part = inference_pb2.GenerateStreamResponse | inference_pb2.ChatStreamResponse


class Client:
    """Client of one service. All methods raise grpc.aio.AioRpcError if the RPC fails."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._metadata = metadata
        self._inference: Any = inference_pb2_grpc.InferenceServiceStub(channel)
        self._models: Any = models_pb2_grpc.ModelServiceStub(channel)
        self._health: Any = health_pb2_grpc.HealthStub(channel)

    def generate(self, prompt: str, parameters: Parameters) -> AsyncGenerator[Part]:
        """Yields the stream of a prompt's continuation; cancels it if it is closed."""
        request = inference_pb2.GenerateRequest(prompt=prompt, **parameters)
        return _read(self._inference.GenerateStream(request, metadata=self._metadata))

    def chat(self, messages: Sequence[tuple[str, str]], parameters: Parameters) -> AsyncGenerator[Part]:
        """Yields the stream of the answer to (role, content) messages; cancels it if it is closed."""
        wire = [inference_pb2.ChatMessage(role=role, content=content) for role, content in messages]
        request = inference_pb2.ChatRequest(messages=wire, **parameters)
        return _read(self._inference.ChatStream(request, metadata=self._metadata))

    async def models(self, timeout: float | None = None) -> list[models_pb2.Model]:
        """Returns all models; `timeout` is in seconds."""
        request = models_pb2.ListModelsRequest()
        return list((await self._models.ListModels(request, metadata=self._metadata, timeout=timeout)).models)

    async def watch(self, model: str) -> AsyncIterator[models_pb2.Model]:
        """Yields the model's current state, then each change."""
        request = models_pb2.WatchModelRequest(model=model)
        async for response in self._models.WatchModel(request, metadata=self._metadata):
            yield response.model

    async def load(self, model: str) -> models_pb2.Model:
        """Loads the model and returns it once it is active."""
        request = models_pb2.LoadModelRequest(model=model)
        response: models_pb2.LoadModelResponse = await self._models.LoadModel(request, metadata=self._metadata)
        return response.model

    async def unload(self, model: str) -> models_pb2.Model:
        """Unloads the model and returns it once its memory is free."""
        request = models_pb2.UnloadModelRequest(model=model)
        response: models_pb2.UnloadModelResponse = await self._models.UnloadModel(request, metadata=self._metadata)
        return response.model

    async def is_serving(self, model: str | None) -> bool:
        """Returns whether the health of the service, or of the model, is SERVING."""
        request = health_pb2.HealthCheckRequest(service=model_name(model) if model else "")
        answer = await self._health.Check(request, timeout=5.0)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _read(call: Any) -> AsyncGenerator[Part]:
    """Yields a stream's messages but for an error, which the call's status repeats."""
    try:
        async for part in call:
            if not part.HasField("error"):
                yield part
    finally:
        call.cancel()


def text_of(part: Part) -> str:
    """Returns the part's text."""
    return part.text if isinstance(part, inference_pb2.GenerateStreamResponse) else part.delta.content


def thought_of(part: Part) -> str:
    """Returns what the part adds to the model's reasoning."""
    return "" if isinstance(part, inference_pb2.GenerateStreamResponse) else part.delta.reasoning_content


def wait_of(part: Part) -> str:
    """Returns what the request waits for, in a few words; nothing if the part is no report of that."""
    if not part.HasField("progress"):
        return ""
    progress = part.progress
    match progress.stage:
        case generation_pb2.Progress.LOADING:
            return "the model is being loaded"
        case generation_pb2.Progress.QUEUED:
            return f"waiting for a free slot, behind {progress.requests_ahead} others"
        case generation_pb2.Progress.PREFILL:
            return f"reading: {progress.computed_tokens:,} of {progress.prompt_tokens:,} tokens"
    return "waiting"


def is_cut(part: Part) -> bool:
    """Returns whether the answer was cut at max_tokens."""
    return part.finish_reason == generation_pb2.Finish.LENGTH


def state_of(model: models_pb2.Model) -> str:
    """Returns the name of the model's state; UNKNOWN for one that a newer service has."""
    names = {value.number: value.name for value in models_pb2.Model.State.DESCRIPTOR.values}
    return names.get(model.state, "UNKNOWN")


def unit_of(model: models_pb2.Model) -> str:
    """Returns the name of the unit of the model's progress."""
    names = {value.number: value.name for value in models_pb2.LoadProgress.Unit.DESCRIPTOR.values}
    return names.get(model.progress.unit, "UNIT_UNSPECIFIED")


@asynccontextmanager
async def connect(address: str, *, traced: bool = True) -> AsyncIterator[Client]:
    """Yields a client of the service at an address; keys, certificates and tracing come from the environment.

    Raises:
        StartError: The address cannot be used, a certificate cannot be read, or a variable for tracing is invalid.
    """
    access = Access.from_environment()
    async with AsyncExitStack() as stack:
        interceptors = await stack.enter_async_context(call_tracing()) if traced else ()
        channel = await stack.enter_async_context(access.channel(address, interceptors))
        yield Client(channel, access.metadata)
