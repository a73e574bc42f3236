"""The command line's gRPC client."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference.v1 import decisions_pb2, generation_pb2, inference_pb2, models_pb2
from llm_inference_api.cli.address import parse_address
from llm_inference_api.cli.credentials import Access
from llm_inference_api.cli.tracing import call_tracing
from llm_inference_api.rpc.health import model_name
from llm_inference_client import aio

Parameters = Mapping[str, Any]
"""Fields of a request by name, such as `temperature`."""
Part = inference_pb2.GenerateStreamResponse | inference_pb2.ChatStreamResponse


class Client:
    """What the commands ask of a service. All methods raise llm_inference_client.ServiceError if the call fails."""

    def __init__(self, client: aio.Client) -> None:
        self._client = client
        self._health: Any = health_pb2_grpc.HealthStub(client.channel)

    def generate(self, prompt: str, parameters: Parameters) -> AsyncGenerator[Part]:
        """Yields the stream of a prompt's continuation; cancels it if it is closed."""
        request = inference_pb2.GenerateRequest(prompt=prompt, **parameters)
        return _read(self._client.inference.GenerateStream(request))

    def chat(self, messages: Sequence[tuple[str, str]], parameters: Parameters) -> AsyncGenerator[Part]:
        """Yields the stream of the answer to (role, content) messages; cancels it if it is closed."""
        wire = [inference_pb2.ChatMessage(role=role, content=content) for role, content in messages]
        return _read(self._client.inference.ChatStream(inference_pb2.ChatRequest(messages=wire, **parameters)))

    async def decide(self, request: decisions_pb2.DecideRequest) -> decisions_pb2.DecideResponse:
        """Returns the answers to typed questions."""
        return await self._client.decisions.Decide(request)

    async def models(self, timeout: float | None = None) -> list[models_pb2.Model]:
        """Returns all models; `timeout` is in seconds."""
        return list((await self._client.models.ListModels(models_pb2.ListModelsRequest(), timeout=timeout)).models)

    async def watch(self, model: str) -> AsyncIterator[models_pb2.Model]:
        """Yields the model's current state, then each change."""
        async for response in self._client.models.WatchModel(models_pb2.WatchModelRequest(model=model)):
            yield response.model

    async def load_progress(self, model: str) -> AsyncIterator[str]:
        """Yields in a few words how far the load of a model is, whenever that changes."""
        async for now in self.watch(model):
            yield f"the model is {progress_of(now).lower()}"

    async def load(self, model: str) -> models_pb2.Model:
        """Loads the model and returns it once it is active."""
        return (await self._client.models.LoadModel(models_pb2.LoadModelRequest(model=model))).model

    async def unload(self, model: str) -> models_pb2.Model:
        """Unloads the model and returns it once its memory is free."""
        return (await self._client.models.UnloadModel(models_pb2.UnloadModelRequest(model=model))).model

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


def awaits_load(part: Part) -> bool:
    """Returns whether the part says that the request waits for its model."""
    return part.HasField("progress") and part.progress.stage == generation_pb2.Progress.LOADING


def is_cut(part: Part) -> bool:
    """Returns whether the answer was cut at max_tokens."""
    return part.finish_reason == generation_pb2.Finish.LENGTH


def state_of(model: models_pb2.Model) -> str:
    """Returns the name of the model's state; UNKNOWN for one that a newer service has."""
    names = {value.number: value.name for value in models_pb2.Model.State.DESCRIPTOR.values}
    return names.get(model.state, "UNKNOWN")


def progress_of(model: models_pb2.Model) -> str:
    """Returns the name of the model's state, and how far a passing one is."""
    total = model.progress.total
    return f"{state_of(model)} {100 * model.progress.done / total:.0f} %" if total else state_of(model)


def json_of(models: Sequence[models_pb2.Model]) -> str:
    """Returns the models as REST has them."""
    response = models_pb2.ListModelsResponse(models=models)
    found = json_format.MessageToDict(response, preserving_proto_field_name=True)
    return json.dumps(found.get("models", []), indent=2)


def unit_of(model: models_pb2.Model) -> str:
    """Returns the name of the unit of the model's progress."""
    names = {value.number: value.name for value in models_pb2.LoadProgress.Unit.DESCRIPTOR.values}
    return names.get(model.progress.unit, "UNIT_UNSPECIFIED")


@asynccontextmanager
async def connect(address: str, *, traced: bool = True) -> AsyncIterator[Client]:
    """Yields a client of the service at an address; keys, certificates and tracing come from the environment.

    The service need not be ready: a person wants to know of a model that has failed. Calls take as long as the service
    lets them.

    Raises:
        StartError: The address cannot be used, a certificate cannot be read, or a variable for tracing is invalid.
        llm_inference_client.ServiceError: Nothing answers at the address.
    """
    access, (target, tls) = Access.from_environment(), parse_address(address)
    async with AsyncExitStack() as stack:
        interceptors = await stack.enter_async_context(call_tracing()) if traced else ()
        connection = aio.connect(
            target,
            key=access.key,
            tls=access.tls(spoken=tls) or False,
            timeout=None,
            wait_for_ready=False,
            interceptors=interceptors,
        )
        yield Client(await stack.enter_async_context(connection))
