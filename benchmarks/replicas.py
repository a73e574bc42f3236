"""Compares ways to several replicas: the share of prompt tokens that come from a cache, and how soon tokens come.

Run as `python -m benchmarks.replicas on=localhost:8091 off=localhost:8092 [--model ID]`, with load balancers, or
servers with and without a cluster. Callers hold conversations over gRPC; each turn repeats all earlier ones. The ways
are measured in alternating rounds, so that other load on the machine affects all of them; each prints one line.
"""

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from benchmarks.comparison.answers import Prompts
from llm_inference.v1 import inference_pb2, inference_pb2_grpc

_TOKENS = 24
"""Of each answer."""


@dataclass
class Front:
    """One way to the replicas, with what was measured on it."""

    name: str
    stub: Any
    prompt_tokens: int = 0
    cached_tokens: int = 0
    first_text: list[float] = field(default_factory=list)
    """Seconds to the first text of each turn after a conversation's first."""
    tokens: list[float] = field(default_factory=list)
    """Seconds of each turn from its first text to its end, by its tokens."""
    wall: float = 0.0

    def __str__(self) -> str:
        cuts = statistics.quantiles(self.first_text, n=20)
        share = 100 * self.cached_tokens / self.prompt_tokens
        return (
            f"{self.name:8} {self.cached_tokens:8} of {self.prompt_tokens} prompt tokens from a cache ({share:.1f} %)  "
            f"first text p50 {1000 * statistics.median(self.first_text):6.1f} ms  p95 {1000 * cuts[-1]:6.1f} ms  "
            f"a token {1000 * statistics.median(self.tokens):6.2f} ms  "
            f"{len(self.first_text) / self.wall:6.1f} turns/s"
        )


async def converse(front: Front, options: argparse.Namespace, seed: int) -> None:
    """Holds one conversation: a system prompt that all share, and a first message that depends on the seed."""
    messages = [_said("system", Prompts(1).words(50)), _said("user", Prompts(seed).words(options.document))]
    for turn in range(options.turns):
        request = inference_pb2.ChatRequest(messages=messages, model=options.model, max_tokens=_TOKENS, ignore_eos=True)
        text, started, first = "", time.perf_counter(), 0.0
        async for part in front.stub.ChatStream(request):
            if part.delta.content and not first:
                first = time.perf_counter() - started
            text += part.delta.content
            if turn and part.HasField("usage"):
                front.prompt_tokens += part.usage.prompt_tokens
                front.cached_tokens += part.usage.cached_tokens
                front.first_text.append(first or time.perf_counter() - started)
                front.tokens.append((time.perf_counter() - started - front.first_text[-1]) / (_TOKENS - 1))
        messages += [_said("assistant", text), _said("user", Prompts(seed + turn).words(20))]


async def one_round(front: Front, options: argparse.Namespace, seed: int) -> None:
    """Runs one conversation of each caller, all at the same time."""
    started = time.perf_counter()
    await asyncio.gather(*(converse(front, options, seed + 1000 * caller) for caller in range(options.callers)))
    front.wall += time.perf_counter() - started


async def main() -> None:
    """Measures all ways and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fronts", nargs="+", help="NAME=HOST:PORT")
    parser.add_argument("--model", default="")
    parser.add_argument("--callers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--document", type=int, default=250, help="words of each conversation's first message")
    options = parser.parse_args()
    fronts = []
    for index, given in enumerate(options.fronts):
        name, _, address = given.partition("=")
        fronts.append(Front(name, inference_pb2_grpc.InferenceServiceStub(grpc.aio.insecure_channel(address))))
        await converse(Front("", fronts[-1].stub), options, seed=50_000_000 + index)
    for turn in range(options.rounds):
        for index, front in enumerate(fronts):
            await one_round(front, options, seed=1_000_000 * (turn + 1) + 100 * index)
    print(*fronts, sep="\n")


def _said(role: str, content: str) -> inference_pb2.ChatMessage:
    return inference_pb2.ChatMessage(role=role, content=content)


if __name__ == "__main__":
    asyncio.run(main())
