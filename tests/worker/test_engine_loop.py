"""When the engine's thread does what it does beside steps."""

from queue import Empty, SimpleQueue
from typing import Any

import pytest

from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.prefix_store import BLOCK, PrefixStore
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.processes.parent import Parent
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.step import StepOutput
from llm_inference_api.worker.engine_loop import Admissible, Announced, EngineLoop
from tests.fakes.backend import FakeBackend, FakeSampler


class Inbox(SimpleQueue[Any]):
    """Ends the loop where it would wait: there is nothing left to do then."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002 - as its base
        return super().get_nowait()


class Recorder(Parent):
    """A parent that keeps what the steps produced."""

    def __init__(self) -> None:
        self.steps: list[StepOutput] = []

    def send(self, message: object) -> None:
        if isinstance(message, StepOutput):
            self.steps.append(message)


def run(store: PrefixStore, **max_tokens: int) -> list[StepOutput]:
    """Runs the loop until all requests have ended; each has a prompt of three blocks. Returns what the steps said."""
    backend, inbox, parent = FakeBackend(), Inbox(), Recorder()
    engine = Engine(backend, Scheduler(PrefixCache(4, 2000), 4, store=store), StepBudget(512, 4), clock=lambda: 0.0)
    for number, (name, most) in enumerate(max_tokens.items()):
        tokens = list(range(1000 * number + 1, 1000 * number + 1 + 3 * BLOCK))
        request = GenerationRequest(name, "", Sampling(seed=0))
        sampler = FakeSampler(backend, tokens)
        inbox.put(Announced(name))
        inbox.put(Admissible(name, (Sequence(request, tokens, most, OutputText(()), sampler, 0.0),)))
    with pytest.raises(Empty):
        EngineLoop(engine, inbox, parent).run()
    return parent.steps


def test_prefixes_are_stored_while_nobody_asks() -> None:
    """To the last block, before the loop waits."""
    store = PrefixStore(1 << 20)
    run(store, first=1, second=1)
    assert store.tokens == 2 * 3 * BLOCK


def test_prefixes_are_stored_beside_a_running_answer() -> None:
    """A block after a step, so that an answer that goes on keeps none of them in the cache."""
    steps = run(PrefixStore(1 << 20), ended=1, running=30)
    assert max(step.stats.stored_tokens for step in steps if step.stats.running) == 3 * BLOCK
