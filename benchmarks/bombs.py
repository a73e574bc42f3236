"""Measures how much adversarial constraints slow down other requests.

Run as `python -m benchmarks.bombs [--model FILE.gguf]` on an idle machine. For each constraint of tests/fakes/bombs.py
it prints the time until it was refused, or the median step time of one stream with the constraint and one without,
absolute and relative to two streams without.
"""

import argparse
import math
import statistics
import time
import warnings
from pathlib import Path

import llm_inference_api.demo
from llm_inference_api.engine.engine import Engine
from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.worker.parts import Parts, build
from tests.fakes.bombs import BOMBS

_FIRST = 3
"""Leading steps that prefill the prompts and are not counted."""


def step(parts: Parts, beside: Constraint | None, tokens: int) -> float:
    """Returns the median step time, in seconds, of an unconstrained stream and another one.

    Args:
        parts: A worker's parts with a loaded model.
        beside: The constraint of the other stream; None for none.
        tokens: Maximum tokens of each stream.

    Returns:
        NaN where the other stream ends before its prompt's steps are over.

    Raises:
        ServiceError: The constraint is refused.
    """
    assert parts.engine is not None
    free = Stopping(tokens, ignore_eos=True)
    stopping = free if beside is None else Stopping(tokens)
    other = GenerationRequest("other", "An answer: ", Sampling(1), stopping, beside)
    prepared = [*parts.preparer.prepare(other)]
    prepared += parts.preparer.prepare(GenerationRequest("free", "An answer: ", Sampling(0), free))
    for sequence in prepared:
        parts.engine.submit(sequence)
    seconds = _steps(parts.engine)[_FIRST:]
    return statistics.median(seconds) if seconds else math.nan


def _steps(engine: Engine) -> list[float]:
    """Runs the engine until it is idle; returns the seconds of each step until the first stream ended."""
    seconds, both = [], True
    while engine.busy:
        started = time.perf_counter()
        deltas = engine.step().deltas
        if both:
            seconds.append(time.perf_counter() - started)
        both = both and not any(delta.finish_reason for delta in deltas)
    return seconds


def main() -> None:
    """Measures every constraint of the tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(llm_inference_api.demo.__file__).parent / "demo.gguf")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100)
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    context = ContextChoice(length=1024, cache_tokens=4096)
    config = EngineConfig(options.model, options.threads, 4, options.tokens, queue_timeout=60.0, context=context)
    parts = build(config, lambda _: None)
    for name, bomb in BOMBS.items():
        normal = step(parts, None, options.tokens)
        started = time.perf_counter()
        try:
            seconds = step(parts, bomb, options.tokens)
        except ServiceError as error:
            print(f"{name:30} refused after {time.perf_counter() - started:5.2f} s: {str(error)[:70]}")
        else:
            print(f"{name:30} {1e3 * seconds:7.2f} ms, {seconds / normal:5.2f} × {1e3 * normal:.2f} ms")


if __name__ == "__main__":
    main()
