"""Constraints that try to cost more than they should: refused soon, or followed at nobody else's cost."""

import contextlib
import itertools
import statistics
import threading
import time
from pathlib import Path

import pytest

import llm_inference_api.demo
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.events import FinishReason
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.worker.preparer import Preparer
from tests.engine.in_process import Answer, InProcess
from tests.fakes.bombs import BOMBS

pytestmark = pytest.mark.filterwarnings("ignore:llama_token_get_attr")  # llguidance calls it.
DEMO = Path(llm_inference_api.demo.__file__).parent / "demo.gguf"
USUAL = Constraint(
    Language.JSON_SCHEMA, '{"type": "array", "items": {"type": "integer"}, "minItems": 200}', "json_schema"
)
TRIES = 4
"""A machine that does other things too has bad moments."""


@pytest.fixture(scope="module")
def running() -> InProcess:
    running = InProcess(DEMO)
    beside(running, USUAL)  # What is done once, at the first request.
    return running


@pytest.fixture(scope="module")
def normal(running: InProcess) -> float:
    """Seconds between two tokens of a stream beside a usual constraint."""
    return beside(running, USUAL)[0]


def beside(running: InProcess, constraint: Constraint) -> tuple[float, Answer]:
    """Returns the seconds between two tokens of a stream beside a restricted one, and that one's answer."""
    stream = running.submit("stream", None, 150)
    restricted = running.submit("restricted", constraint, 140)
    running.finish()
    return statistics.median(later - earlier for earlier, later in itertools.pairwise(stream.arrivals)), restricted


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_soon_or_delays_no_other(running: InProcess, normal: float, name: str) -> None:
    """It is prepared within ten seconds of processor time; another stream's step takes at most twice as usual."""
    started = time.process_time()
    refused = running.submit("bomb", BOMBS[name], 1).error
    running.finish()
    assert time.process_time() - started < 10  # Another one may go to the process of the trial: see test_trial.py.
    if refused is not None:
        assert isinstance(refused, InvalidFieldError)
        return
    for _ in range(TRIES):
        seconds, answer = beside(running, BOMBS[name])
        assert answer.reason in (FinishReason.STOP, FinishReason.LENGTH) or isinstance(answer.error, InvalidFieldError)
        if seconds <= 2 * normal + 0.001:
            return
        normal, _ = beside(running, USUAL)
    pytest.fail(f"{1e3 * seconds:.1f} ms between two tokens instead of {1e3 * normal:.1f} ms")


@pytest.mark.parametrize("name", ["enum of 100,000", "1,500 properties", "exponential terminals", "letters"])
def test_steps_go_on_while_a_bomb_is_compiled(running: InProcess, name: str) -> None:
    """What a constraint takes to compile, the preparer's thread takes alone."""
    assert any(_longest_gap(running, BOMBS[name]) < 0.1 for _ in range(TRIES))


def _longest_gap(running: InProcess, bomb: Constraint) -> float:
    stream = running.submit("stream", None, 400)
    request = GenerationRequest("bomb", "An answer: ", Sampling(0), constraint=bomb)
    compiling = threading.Thread(target=_prepare, args=(running.preparer, request))
    compiling.start()
    running.finish()
    compiling.join()
    return max(later - earlier for earlier, later in itertools.pairwise(stream.arrivals))


def _prepare(preparer: Preparer, request: GenerationRequest) -> None:
    with contextlib.suppress(InvalidFieldError):
        preparer.prepare(request)[0].sampler.close()
