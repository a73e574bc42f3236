"""Measures the cost of structured output: the time of a token mask, and the throughput of streams with constraints.

Run as `python -m benchmarks.constraints [--model FILE.gguf]` on an idle machine. Masks are measured on synthetic
vocabularies of word pieces, throughput with a model, the bundled one by default.
"""

import argparse
import json
import random
import statistics
import string
import time
import warnings
from pathlib import Path

from llguidance import LLTokenizer
from llguidance._tokenizer import TokenizerWrapper

import llm_inference_api.demo
from llm_inference_api.grammar.token_mask import Grammars
from llm_inference_api.grammar.trial import Trial
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.worker.parts import build

_VOCABULARIES = (2_000, 32_000, 128_000)
_TOKENS = 256
_PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "role": {"enum": ["reader", "writer", "owner"]},
        "mail": {"type": "string", "format": "email", "maxLength": 40},
    },
    "required": ["name", "age", "role", "mail"],
    "additionalProperties": False,
}
_CONSTRAINTS = {
    "schema": json.dumps({"type": "array", "items": _PERSON, "minItems": 1000}),
    "any JSON": '{"type": "array", "minItems": 100000}',
    "subsets of states": '{"type": "string", "pattern": ".*a.{20}b.*", "maxLength": 5000}',
}
"""Schemas: a typical one, the least restrictive, and one whose automaton has very many states."""


class _Vocabulary:
    """A synthetic vocabulary with the interface that llguidance's TokenizerWrapper expects."""

    def __init__(self, size: int) -> None:
        chance = random.Random(size)
        pieces = {bytes([value]) for value in range(256)} | {b'{"', b'":', b'",', b'": "', b'", "', b"},", b"  ", b"\n"}
        letters = string.ascii_lowercase
        while len(pieces) < size - 1:
            piece = "".join(chance.choices(letters, k=chance.randint(2, 7)))
            piece = chance.choice(["", " ", " ", '"', "."]) + (piece.title() if chance.random() < 0.3 else piece)
            pieces.add((piece if chance.random() < 0.97 else str(chance.randrange(1000))).encode())
        self.tokens = [*sorted(pieces), b"<|end|>"]
        self.special_token_ids = [size - 1]
        self.bos_token_id = None
        self.eos_token_id = size - 1

    def __call__(self, text: str | bytes) -> list[int]:
        """Returns a token id for each byte of the text."""
        data = text.encode() if isinstance(text, str) else text
        return [self.tokens.index(bytes([value])) for value in data]


def mask_cost(size: int, name: str) -> None:
    """Prints the time to compile a constraint and to compute the masks of 1,000 random allowed tokens."""
    tokenizer = LLTokenizer(TokenizerWrapper(_Vocabulary(size)))
    constraint = Constraint(Language.JSON_SCHEMA, _CONSTRAINTS[name], name)
    started = time.perf_counter()
    grammars = Grammars(tokenizer, Trial(size, {size - 1: b"<end>"}))
    mask = grammars.mask(constraint)
    compiled = time.perf_counter() - started
    chance, seconds = random.Random(0), []
    for _ in range(1000):
        token = int(chance.choice(mask.allowed()))
        if token == size - 1:
            mask = grammars.mask(constraint)
            continue
        started = time.perf_counter()
        mask.accept(token)
        mask.allowed()
        seconds.append(time.perf_counter() - started)
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    print(
        f"{size:7} tokens  {name:18} compiled in {1e3 * compiled:6.1f} ms  "
        f"mask p50 {1e6 * p50:6.0f} µs  p99 {1e6 * p99:6.0f} µs  longest {1e6 * max(seconds):6.0f} µs"
    )


def throughput(model: Path, threads: int, streams: int, names: list[str | None]) -> None:
    """Prints the tokens per second of streams that start together.

    Args:
        model: GGUF file.
        threads: Threads of llama.cpp.
        streams: Number of streams.
        names: The constraint of each stream, a key of _CONSTRAINTS; None for an unconstrained one. If there are
            unconstrained streams, only they are counted, until they end.
    """
    context = ContextChoice(length=1024, cache_tokens=1024 * streams)
    config = EngineConfig(model, threads, streams, _TOKENS, queue_timeout=60.0, context=context)
    parts = build(config, lambda _: None)
    engine, preparer = parts.engine, parts.preparer
    assert engine is not None
    for index, name in enumerate(names):
        constraint = Constraint(Language.JSON_SCHEMA, _CONSTRAINTS[name], name) if name else None
        stopping = Stopping(_TOKENS, ignore_eos=constraint is None)
        request = GenerationRequest(str(index), "People: ", Sampling(index), stopping, constraint)
        engine.submit(*preparer.prepare(request))
    measured = {str(index) for index, name in enumerate(names) if name is None} or set(map(str, range(streams)))
    tokens, started = 0, time.perf_counter()
    while measured:
        for delta in engine.step().deltas:
            if delta.usage is not None and delta.request_id in measured:
                tokens += delta.usage.completion_tokens
                measured.remove(delta.request_id)
    wall = time.perf_counter() - started
    kinds = " beside ".join(dict.fromkeys(name or "free" for name in names))
    print(f"{streams} streams  {kinds:30} {tokens / wall:7.0f} tok/s")


def main() -> None:
    """Measures everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(llm_inference_api.demo.__file__).parent / "demo.gguf")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore", DeprecationWarning)
    for size in _VOCABULARIES:
        for name in _CONSTRAINTS:
            mask_cost(size, name)
    for streams in (1, 8):
        free: list[str | None] = [None] * streams
        throughput(options.model, options.threads, streams, free)
        for name in _CONSTRAINTS:
            throughput(options.model, options.threads, streams, [name] * streams)
    for name in (None, *_CONSTRAINTS):
        throughput(options.model, options.threads, 8, [*[None] * 7, name])


if __name__ == "__main__":
    main()
