"""An engine with a real model, without a process of its own."""

from dataclasses import dataclass, field
from pathlib import Path

from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.events import FinishReason
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.requests.step import StepStats
from llm_inference_api.worker.parts import build
from tests.fakes.processor_time import own_time


@dataclass
class Answer:
    """What became of a request."""

    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    """Those that have the log probabilities."""
    reason: FinishReason | None = None
    error: ServiceError | None = None
    arrivals: list[float] = field(default_factory=list)
    """When tokens came, in seconds of `own_time`."""
    cached: int = 0
    """Tokens of the prompt that were reused."""
    texts: dict[int, str] = field(default_factory=dict)
    """Of each answer, where there are several."""


class InProcess:
    """Makes the engine's steps in the thread of its caller."""

    def __init__(
        self,
        model: Path,
        slots: int = 8,
        cache_tokens: int | None = None,
        batch_tokens: int = 512,
        prefix_store: int | None = None,
    ) -> None:
        config = EngineConfig(
            model,
            threads=1,
            slots=slots,
            default_max_tokens=64,
            queue_timeout=1e6,
            context=ContextChoice(length=1024, cache_tokens=cache_tokens or 1024 * slots),
            batch_tokens=batch_tokens,
            prefix_store=prefix_store,
        )
        parts = build(config, lambda fraction: None)
        assert parts.engine is not None
        self.engine, self.preparer, self.info = parts.engine, parts.preparer, parts.info
        self.answers: dict[str, Answer] = {}
        self.stats = StepStats()
        """Of the newest step."""

    def submit(
        self,
        name: str,
        constraint: Constraint | None,
        max_tokens: int,
        seed: int = 0,
        *,
        prompt: str = "An answer: ",
        temperature: float = 1.0,
    ) -> Answer:
        """Puts a request into the queue, or notes why it cannot be."""
        self.save()
        answer = self.answers[name] = Answer()
        stopping = Stopping(max_tokens, ignore_eos=constraint is None)
        sampling = Sampling(seed, temperature=temperature, logprobs=0)
        request = GenerationRequest(name, prompt, sampling, stopping, constraint)
        try:
            for sequence in self.preparer.prepare(request):
                self.engine.submit(sequence)
        except ServiceError as error:
            answer.error = error
        return answer

    def chat(self, messages: tuple[Message, ...], max_tokens: int, n: int = 1) -> Answer:
        """Puts a chat into the queue, which is answered greedily."""
        self.save()
        name = f"request {len(self.answers)}"
        answer = self.answers[name] = Answer()
        stopping = Stopping(max_tokens, ignore_eos=True)
        request = GenerationRequest(name, messages, Sampling(0, temperature=0.0, logprobs=0), stopping, n=n)
        for sequence in self.preparer.prepare(request):
            self.engine.submit(sequence)
        return answer

    def step(self) -> None:
        """Makes a step."""
        output = self.engine.step()
        self.stats = output.stats
        now = own_time()
        for delta in output.deltas:
            answer = self.answers[delta.request_id]
            answer.text += delta.text
            answer.texts[delta.answer] = answer.texts.get(delta.answer, "") + delta.text
            answer.logprobs += [entry.logprob for entry in delta.logprobs]
            answer.tokens += [entry.token_id for entry in delta.logprobs]
            answer.reason = delta.finish_reason
            answer.arrivals.append(now)
            answer.cached = delta.usage.cached_tokens if delta.usage else 0
        for request_id, error in output.rejections:
            self.answers[request_id].error = error

    def save(self) -> None:
        """Copies all prefixes of ended requests that are not in the store."""
        while self.engine.save_some():
            pass

    def clear(self) -> None:
        """Forgets all that was computed, as if the context was new."""
        self.engine._scheduler.cache.clear()
        self.engine._backend.clear()

    def finish(self) -> None:
        """Makes steps until nothing is left to do."""
        while self.engine.busy:
            self.step()
