"""ModelService: list, load, unload, download, delete and watch models."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llm_inference.v1 import models_pb2, models_pb2_grpc
from llm_inference_api.api.native.messages import model_message
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.limits import Limits
from llm_inference_api.rpc.call import Call


class ModelServicer(models_pb2_grpc.ModelServiceServicer):
    """Translates between RPCs and the registry."""

    def __init__(self, registry: Registry, limits: Limits, default_max_tokens: int) -> None:
        self._registry = registry
        self._defaults = models_pb2.RequestDefaults(
            temperature=limits.temperature,
            top_p=limits.top_p,
            max_tokens=default_max_tokens,
            max_tokens_limit=limits.max_tokens,
            seed=limits.seed,
        )

    async def ListModels(self, request: models_pb2.ListModelsRequest, call: Call) -> models_pb2.ListModelsResponse:
        """Returns the status of all models, and what requests have where they set nothing."""
        models = map(model_message, self._registry.statuses())
        return models_pb2.ListModelsResponse(models=models, defaults=self._defaults)

    async def GetModel(self, request: models_pb2.GetModelRequest, call: Call) -> models_pb2.GetModelResponse:
        """Returns the status of one model."""
        return models_pb2.GetModelResponse(model=model_message(self._registry.get(request.model).status))

    async def LoadModel(self, request: models_pb2.LoadModelRequest, call: Call) -> models_pb2.LoadModelResponse:
        """Loads a model and returns its status once it is ACTIVE."""
        model = self._registry.get(request.model)
        await model.load()
        return models_pb2.LoadModelResponse(model=model_message(model.status))

    async def UnloadModel(self, request: models_pb2.UnloadModelRequest, call: Call) -> models_pb2.UnloadModelResponse:
        """Unloads a model and returns its status."""
        model = self._registry.get(request.model)
        await model.unload()
        return models_pb2.UnloadModelResponse(model=model_message(model.status))

    async def DownloadModel(
        self, request: models_pb2.DownloadModelRequest, call: Call
    ) -> models_pb2.DownloadModelResponse:
        """Brings a model's files into the cache and returns its status."""
        model = self._registry.get(request.model)
        await model.download()
        return models_pb2.DownloadModelResponse(model=model_message(model.status))

    async def DeleteModelFiles(
        self, request: models_pb2.DeleteModelFilesRequest, call: Call
    ) -> models_pb2.DeleteModelFilesResponse:
        """Deletes a model's files in the hub's cache and returns its status."""
        model = self._registry.get(request.model)
        freed = await self._registry.delete_files(model)
        return models_pb2.DeleteModelFilesResponse(model=model_message(model.status), freed_bytes=freed)

    async def WatchModel(
        self, request: models_pb2.WatchModelRequest, call: Call
    ) -> AsyncGenerator[models_pb2.WatchModelResponse]:
        """Yields a model's status now and at each change."""
        async with aclosing(self._registry.get(request.model).watch()) as statuses:
            async for status in statuses:
                yield models_pb2.WatchModelResponse(model=model_message(status))
