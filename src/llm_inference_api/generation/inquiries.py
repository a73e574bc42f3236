"""What models are asked beside text: what they make of texts, and embeddings."""

from llm_inference_api.generation.record import Records
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.rpc.call import Call


class Inquiries:
    """Asks models, within the service's times."""

    def __init__(self, registry: Registry, timeouts: Timeouts, records: Records) -> None:
        self._registry = registry
        self._timeouts = timeouts
        self._records = records

    async def inquire(self, model: str, inquiry: Inquiry, call: Call) -> Findings:
        """Returns what the model's worker finds. Raises ModelNotFoundError, what the worker says, or DeadlineError."""
        served = self._registry.get(model)
        call.facts["model"] = served.status.id
        async with self._timeouts.within(call):
            return await served.inquire(inquiry)

    async def embed(self, model: str, embed: Embed, call: Call) -> tuple[str, Embeddings]:
        """Returns the model's id, and the embeddings that its worker computes. Raises as `inquire`."""
        served = self._registry.get(model)
        with self._records.embedding(served.status.id, call) as record:
            async with self._timeouts.within(call):
                found = await served.embed(embed)
            record.ended(sum(embedding.tokens for embedding in found))
        return served.status.id, found
