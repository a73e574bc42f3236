"""What every kind of model offers to those above, wherever it is computed."""

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.events import Progress
from llm_inference_api.requests.inquiry import Embed, Embeddings, Found, Inquiry
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.requests.reference import Origin
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StageEntry


class Stream(Protocol):
    """One request to a model, from the load to the end. Closing it cancels unfinished answers."""

    attempt: int
    """Grows when the request is run again; deltas of earlier attempts are void then."""
    is_sent: bool
    """Whether the caller was sent some of the answers, so that the request cannot be run again."""
    is_sent_when_read: bool
    """Whether `next` sets `is_sent`; else the reader does."""

    async def next(self, interval: float | None) -> tuple[Delta, ...] | Progress:
        """Returns the deltas since the last call, or the request's stage if none arrive within `interval` seconds.

        Raises:
            ServiceError: The request was refused, the load failed, or what computes it ended the request.
        """

    async def wait_ended(self) -> None:
        """Waits until the request has been computed; `next` then returns all remaining deltas at once."""

    def take_entries(self) -> list[StageEntry]:
        """Returns the stages that the request's answers entered since the last call, in order."""

    def close(self) -> None:
        """Ends the request, in any stage."""


class Model(Protocol):
    """A model of the allow-list."""

    @property
    def status(self) -> ModelStatus:
        """Its current status."""

    @property
    def origin(self) -> Origin:
        """Where the model's files come from."""

    @property
    def uses_files(self) -> bool:
        """Whether the model's files are in use, or are being downloaded or deleted."""

    @property
    def adapters(self) -> tuple[str, ...]:
        """Ids of the model's LoRA adapters."""

    def open(self, request: GenerationRequest, identity: Mapping[str, object]) -> Stream:
        """Returns the stream of the request's answers; loads the model first if necessary.

        Args:
            request: The request.
            identity: Structured fields of the request's log lines.

        Raises:
            PoisonRequestError: The request crashes what computes it.
        """

    async def inquire(self, inquiry: Inquiry, caller: str = "") -> Found:
        """Returns the answer to a question about the model's tokens or templates; loads it first if necessary."""

    async def embed(self, embed: Embed) -> Embeddings:
        """Returns an embedding for each input; loads the model first if necessary."""

    async def rank(self, rank: Rank) -> Relevances:
        """Returns how well each document answers the query; loads the model first if necessary."""

    async def classify(self, classify: Classify) -> Classes:
        """Returns how probable the labels of the model's head are; loads it first if necessary."""

    async def load(self) -> object:
        """Returns when the model is loaded; it may be unloaded at any time."""

    async def unload(self) -> None:
        """Drains open requests. Returns when the memory is free."""

    async def download(self) -> None:
        """Returns when the model's files are there."""

    async def delete_files(self) -> int:
        """Deletes the model's files in the hub's cache. Returns the bytes freed."""

    def watch(self) -> AsyncGenerator[ModelStatus]:
        """Yields the current status, then each change."""

    def end_watches(self) -> None:
        """Ends all watches with UnavailableError."""

    async def close(self) -> None:
        """Ends at once all that computes the model. Whoever waits for it is refused from now on."""
