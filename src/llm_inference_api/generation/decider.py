"""Answers typed questions, by what a model would say or by the labels of its head."""

from dataclasses import dataclass

from llm_inference_api.decisions.answer import Decision
from llm_inference_api.decisions.calibration import Calibrations
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.errors import UnsupportedError
from llm_inference_api.generation.generation import Generations
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.events import Usage
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop


@dataclass(frozen=True, slots=True)
class Decided:
    """The answers to all questions, in order."""

    model: str
    """Id of the model that answered."""
    decisions: list[Decision]
    usage: Usage


class Decider:
    """Asks models, and calibrates their answers."""

    def __init__(
        self, generations: Generations, inquiries: Inquiries, registry: Registry, calibrations: Calibrations
    ) -> None:
        self._generations = generations
        self._inquiries = inquiries
        self._registry = registry
        self._calibrations = calibrations

    async def decide(self, asked: Decisions, call: Call, size: int) -> Decided:
        """Returns the answers.

        Args:
            asked: The questions.
            call: The RPC that asks them.
            size: Bytes of the request: long ones are read off the event loop.

        Raises:
            InvalidFieldError: The model has labels, and a question is no choice of them.
            ServiceError: As `Generations.open` and `Generation.whole`.
        """
        if not self._labels(asked):
            try:
                return await self._by_words(asked, call, size)
            except UnsupportedError:
                if not self._labels(asked):  # They are known once the model is loaded.
                    raise
        return await self._by_labels(asked, call)

    def _labels(self, asked: Decisions) -> tuple[str, ...]:
        info = self._registry.get(self._registry.adapted(asked.request.model)[0]).status.info
        return info.labels if info else ()

    async def _by_words(self, asked: Decisions, call: Call, size: int) -> Decided:
        async with self._generations.open(asked.request, call, streamed=False) as generation:
            answers, total = await generation.whole()
            found = await off_loop(size, asked.answers, answers[0].scores)
            return Decided(generation.request.model, self._calibrated(generation.request.model, asked, found), total)

    async def _by_labels(self, asked: Decisions, call: Call) -> Decided:
        labels = self._labels(asked)
        model, classes = await self._inquiries.classify(asked.request.model, asked.classify(labels), call)
        found = asked.answers_by_labels(dict(zip(labels, classes.probabilities, strict=True)))
        return Decided(model, self._calibrated(model, asked, found), Usage(classes.tokens, 0, 0))

    def _calibrated(self, model: str, asked: Decisions, decisions: list[Decision]) -> list[Decision]:
        temperatures = (self._calibrations.temperature(model, one.question, asked.rotations) for one in decisions)
        return [
            one if temperature is None else one.calibrated(temperature)
            for one, temperature in zip(decisions, temperatures, strict=True)
        ]
