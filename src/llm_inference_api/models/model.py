"""`Model`: what the registry offers of one model, wherever it is served: by a process here, or on other machines."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from llm_inference_api.models.stream import ModelStream
from llm_inference_api.requests.inquiry import Embed, Embeddings, Found, Inquiry
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.reference import Origin
from llm_inference_api.requests.request import GenerationRequest


class Model(Protocol):
    """One model of the allow-list."""

    status: ModelStatus

    @property
    def origin(self) -> Origin:
        """Where the model's files come from."""

    @property
    def uses_files(self) -> bool:
        """Whether the model is in memory, on the way there or out of it, or has its files downloaded or deleted."""

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> ModelStream:
        """Returns the stream of the request's answers; loads the model first if necessary."""

    async def inquire(self, inquiry: Inquiry, caller: str = "") -> Found:
        """Returns the answer to an inquiry; loads the model first if necessary."""

    async def embed(self, embed: Embed) -> Embeddings:
        """Returns the embeddings of the inputs; loads the model first if necessary."""

    async def load(self) -> object:
        """Returns once the model is loaded. Raises ServiceError if it cannot be."""

    async def unload(self) -> None:
        """Drains open requests, then unloads the model. Returns when the memory is free."""

    async def download(self) -> None:
        """Returns when the model's files are there, converted if necessary. Raises ServiceError if they cannot be."""

    async def delete_files(self) -> int:
        """Deletes the model's files in the hub's cache. Returns the bytes freed. Raises ServiceError if it cannot."""

    def watch(self) -> AsyncGenerator[ModelStatus]:
        """Yields the current status, then each change. Raises UnavailableError when the service stops."""

    def end_watches(self) -> None:
        """Ends all watches, which would hold up a drain."""

    async def close(self) -> None:
        """Ends all work for the model at once. Whoever waits for it is refused from now on."""
