"""Requests to models other than generation: tokenize, detokenize, render, parse, embed, rank, classify."""

from typing import cast

from llm_inference_api.generation.record import Records
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.inquiry import (
    Detokenize,
    Embed,
    Embeddings,
    Findings,
    Found,
    Inquiry,
    Parse,
    Readings,
    Render,
    Tokenize,
)
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.rpc.call import Call


class Inquiries:
    """Sends inquiries and errands to models and enforces the time limits."""

    def __init__(self, registry: Registry, timeouts: Timeouts, records: Records) -> None:
        self._registry = registry
        self._timeouts = timeouts
        self._records = records

    async def inquire(self, model: str, inquiry: Tokenize | Detokenize | Render, call: Call) -> Findings:
        """Returns the tokens that answer the inquiry. Raises as `parse`."""
        return cast("Findings", await self._found(model, inquiry, call))

    async def parse(self, model: str, parse: Parse, call: Call) -> Readings:
        """Returns how the model's text is read.

        Raises:
            ModelNotFoundError: The model is not served.
            DeadlineError: The time limit was exceeded.
            ServiceError: The model cannot be loaded, or its worker refuses or fails the inquiry.
        """
        return cast("Readings", await self._found(model, parse, call))

    async def _found(self, model: str, inquiry: Inquiry, call: Call) -> Found:
        served = self._registry.get(model)
        call.facts["model"] = served.status.id
        async with self._timeouts.within(call):
            return await served.inquire(inquiry, call.caller)

    async def embed(self, model: str, embed: Embed, call: Call) -> tuple[str, Embeddings]:
        """Returns the resolved model id and one embedding per input, in order. Raises as `parse`."""
        served = self._registry.get(model)
        with self._records.embedding(served.status.id, call) as record:
            async with self._timeouts.within(call):
                found = await served.embed(embed)
            record.ended(sum(embedding.tokens for embedding in found))
        return served.status.id, found

    async def rank(self, model: str, rank: Rank, call: Call) -> tuple[str, Relevances]:
        """Returns the resolved model id and the relevance of each document, in order. Raises as `parse`."""
        served = self._registry.get(model)
        with self._records.ranking(served.status.id, call) as record:
            async with self._timeouts.within(call):
                found = await served.rank(rank)
            record.ended(sum(relevance.tokens for relevance in found))
        return served.status.id, found

    async def classify(self, model: str, classify: Classify, call: Call) -> tuple[str, Classes]:
        """Returns the resolved model id and how probable its labels are. Raises as `parse`."""
        served = self._registry.get(model)
        with self._records.classification(served.status.id, call) as record:
            async with self._timeouts.within(call):
                found = await served.classify(classify)
            record.ended(found.tokens)
        return served.status.id, found
