"""Requests to models other than generation: tokenize, detokenize, render, embed."""

from llm_inference_api.generation.record import Records
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.rpc.call import Call


class Inquiries:
    """Sends inquiries and embedding requests to models and enforces the time limits."""

    def __init__(self, registry: Registry, timeouts: Timeouts, records: Records) -> None:
        self._registry = registry
        self._timeouts = timeouts
        self._records = records

    async def inquire(self, model: str, inquiry: Inquiry, call: Call) -> Findings:
        """Returns the tokens that answer the inquiry.

        Raises:
            ModelNotFoundError: The model is not served.
            DeadlineError: The time limit was exceeded.
            ServiceError: The model cannot be loaded, or its worker refuses or fails the inquiry.
        """
        served = self._registry.get(model)
        call.facts["model"] = served.status.id
        async with self._timeouts.within(call):
            return await served.inquire(inquiry, call.caller)

    async def embed(self, model: str, embed: Embed, call: Call) -> tuple[str, Embeddings]:
        """Returns the resolved model id and one embedding per input, in order. Raises as `inquire`."""
        served = self._registry.get(model)
        with self._records.embedding(served.status.id, call) as record:
            async with self._timeouts.within(call):
                found = await served.embed(embed)
            record.ended(sum(embedding.tokens for embedding in found))
        return served.status.id, found
