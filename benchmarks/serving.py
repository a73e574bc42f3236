"""Measures throughput and latency of a running service over gRPC.

Run as `python -m benchmarks.serving --address localhost:50051 [--model ID]` on an idle machine. Each line is a
scenario: tokens per second of all streams together, time to the first token, and the longest gap between two deltas.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from llm_inference.v1 import inference_pb2, inference_pb2_grpc

_WORDS = [
    "river",
    "stone",
    "window",
    "letter",
    "garden",
    "winter",
    "copper",
    "market",
    "silver",
    "table",
    "island",
    "forest",
    "engine",
    "planet",
]


@dataclass
class Stream:
    """One stream as its caller received it; times are those of time.perf_counter."""

    started: float
    arrivals: list[float] = field(default_factory=list)
    """The time of each delta with text."""
    tokens: int = 0
    cached: int = 0
    """Prompt tokens from the prefix cache."""

    @property
    def first(self) -> float:
        """Seconds to the first delta."""
        return self.arrivals[0] - self.started

    @property
    def longest_gap(self) -> float:
        """Seconds of the longest gap between two deltas."""
        return max((later - earlier for earlier, later in itertools.pairwise(self.arrivals)), default=0.0)


async def call(stub: Any, prompt: str, max_tokens: int, model: str) -> Stream:
    """Returns one stream, read to its end."""
    request = inference_pb2.GenerateRequest(prompt=prompt, model=model, max_tokens=max_tokens, ignore_eos=True)
    stream = Stream(time.perf_counter())
    async for part in stub.GenerateStream(request):
        if part.HasField("text"):
            stream.arrivals.append(time.perf_counter())
        if part.HasField("usage"):
            stream.tokens, stream.cached = part.usage.completion_tokens, part.usage.cached_tokens
    return stream


def words(count: int, seed: int) -> str:
    """Returns `count` random words, which depend on the seed alone."""
    return " ".join(random.Random(seed).choices(_WORDS, k=count))


async def together(stub: Any, name: str, prompts: list[str], max_tokens: int, model: str) -> None:
    """Runs all prompts concurrently and prints throughput, latency and cached tokens."""
    started = time.perf_counter()
    streams = await asyncio.gather(*(call(stub, prompt, max_tokens, model) for prompt in prompts))
    wall = time.perf_counter() - started
    tokens = sum(stream.tokens for stream in streams)
    begun = min(stream.arrivals[0] for stream in streams)
    decode = (tokens - len(streams)) / max(started + wall - begun, 1e-9)
    print(
        f"{name:34} wall {wall:7.2f} s  {tokens / wall:7.1f} tok/s  decode {decode:7.1f} tok/s  "
        f"first token p50 {statistics.median(stream.first for stream in streams):6.2f} s  "
        f"longest gap {max(stream.longest_gap for stream in streams):5.2f} s  "
        f"cached {sum(stream.cached for stream in streams)}"
    )


async def beside_a_long_prompt(stub: Any, model: str, prompt_words: int) -> None:
    """Prints the longest gap in four running streams while a long prompt is prefilled."""
    running = [asyncio.create_task(call(stub, words(8, seed), 96, model)) for seed in range(900, 904)]
    await asyncio.sleep(1.0)
    started = time.perf_counter()
    await call(stub, words(prompt_words, 77), 1, model)
    seconds = time.perf_counter() - started
    streams = await asyncio.gather(*running)
    gap = max(stream.longest_gap for stream in streams)
    print(f"4 streams beside a {prompt_words}-word prompt   prompt {seconds:6.2f} s  longest gap {gap:5.2f} s")


async def short_calls(stub: Any, model: str, callers: int, each: int) -> None:
    """Prints the rate and latency of unary calls of 4 tokens, sent back to back: the overhead around the model."""
    seconds: list[float] = []

    async def caller(number: int) -> None:
        for index in range(each):
            prompt = f"{words(4, number)} {index}"
            request = inference_pb2.GenerateRequest(prompt=prompt, model=model, max_tokens=4, ignore_eos=True)
            started = time.perf_counter()
            await stub.Generate(request)
            seconds.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    wall = time.perf_counter() - started
    p50, p99 = statistics.median(seconds), statistics.quantiles(seconds, n=100)[98]
    print(
        f"{f'{callers} callers, {each} calls each':34} wall {wall:7.2f} s  {len(seconds) / wall:7.1f} calls/s  "
        f"p50 {1000 * p50:.1f} ms  p99 {1000 * p99:.1f} ms"
    )


async def main() -> None:
    """Runs all scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="localhost:50051")
    parser.add_argument("--model", default="")
    options = parser.parse_args()
    async with grpc.aio.insecure_channel(options.address) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        await call(stub, "warm up", 8, options.model)
        for count in (1, 4, 8):
            prompts = [words(8, 100 * count + index) for index in range(count)]
            await together(stub, f"{count} streams of 64 tokens", prompts, 64, options.model)
        shared = words(256, 5)
        prompts = [f"{shared} {words(4, 500 + index)}" for index in range(8)]
        await together(stub, "8 streams with one 256-word prefix", prompts, 32, options.model)
        await beside_a_long_prompt(stub, options.model, 300)
        await short_calls(stub, options.model, callers=8, each=100)


if __name__ == "__main__":
    asyncio.run(main())
