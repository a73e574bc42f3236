"""What is asked of each server, and what is measured of its answers."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.comparison.answers import Answer, Prompts, UnusableError, pace, percentile, rate
from benchmarks.comparison.clients import Client
from benchmarks.comparison.models import RANDOM, SMOLLM2, ModelFile
from benchmarks.comparison.overload import overload
from benchmarks.comparison.peers import COLUMNS, GRPC, LLAMA_SERVER, REST, V1, Server
from llm_inference_api.requests.bundled import DEMO

Figures = dict[str, float]
"""What one measurement gave, by the names that the workload's rows have."""

_PACES = 5
"""Measurements of a pace whose ratio to another one is a figure: a single one, of half a second, varies by a fifth."""


@dataclass(frozen=True)
class Target:
    """What is measured: a server by one of its wires."""

    server: Server
    client: Client
    model: ModelFile
    prompts: Prompts
    sizes: "Sizes"


Measure = Callable[[Target], Awaitable[Figures]]


@dataclass(frozen=True)
class Sizes:
    """How much is asked."""

    repeats: int
    heavy_repeats: int
    """Of what takes tens of seconds."""
    answer: int
    """Tokens of each stream."""
    demo_answer: int
    long_prompt: int = 1500
    beside_answer: int = 240
    """Tokens of the answers that run beside the long prompt."""
    prefix: int = 500
    turns: int = 5
    filled: float = 0.5
    """Part of the cache's tokens with which a store of prefixes is filled."""
    overload_seconds: float = 5.0
    patience: float = 10.0
    """Seconds after which a caller under overload gives up."""
    calls: int = 100
    """Calls of each caller."""
    widths: tuple[int, ...] | None = None
    """Streams at once, instead of those of the workload."""


TRIAL = Sizes(
    repeats=1,
    heavy_repeats=1,
    answer=4,
    demo_answer=8,
    long_prompt=64,
    beside_answer=24,
    prefix=32,
    turns=2,
    filled=0.05,
    overload_seconds=0.5,
    patience=3.0,
    calls=3,
    widths=(1, 2),
)
"""To see whether all works; its figures mean nothing."""
SHORT = Sizes(repeats=3, heavy_repeats=1, answer=32, demo_answer=200)
LONG = Sizes(repeats=5, heavy_repeats=3, answer=64, demo_answer=200, filled=0.75, overload_seconds=30.0, patience=30.0)
FORMS = {"trial": TRIAL, "short": SHORT, "long": LONG}


@dataclass(frozen=True)
class Row:
    """A row of the table: one figure of a workload."""

    figure: str
    title: str
    digits: int = 1
    is_less_better: bool = False


@dataclass(frozen=True)
class Case:
    """One measurement, with the rows that it fills."""

    name: str
    measure: Measure
    rows: tuple[Row, ...]
    streams: int = 1
    columns: tuple[str, ...] | None = None
    """Those that are measured; None for the workload's."""


@dataclass(frozen=True)
class Workload:
    """Cases that servers of one model get in turn."""

    name: str
    model: str
    cases: tuple[Case, ...]
    columns: tuple[str, ...]
    is_heavy: bool = False
    needs_fresh_servers: bool = False
    """Whether each repetition needs a server that has answered nothing."""
    has_limit: bool = False
    """Whether llama-batched-bench can say what its cases could have at best."""

    def repeats(self, sizes: Sizes) -> int:
        """Returns how often each case is measured."""
        return sizes.heavy_repeats if self.is_heavy else sizes.repeats


async def together(client: Client, prompts: Sequence[str], max_tokens: int) -> list[Answer]:
    """Returns the answers to prompts that are asked at the same time."""
    return await asyncio.gather(*(client.ask(prompt, max_tokens) for prompt in prompts))


STREAM_PROMPT = 32
"""Words of a stream's prompt."""


def stream_tokens(model: str, sizes: Sizes) -> int:
    """Returns the tokens of each stream's answer."""
    return sizes.demo_answer if model == DEMO else sizes.answer


def streams(width: int) -> Measure:
    """Returns the measurement of so many streams that begin together."""

    async def measure(target: Target) -> Figures:
        tokens = stream_tokens(target.model.name, target.sizes)
        answers = await together(target.client, target.prompts.take(width, STREAM_PROMPT), tokens)
        return {
            "rate": rate(answers),
            "pace": pace(answers),
            "first": statistics.median(answer.first for answer in answers),
            "prompt_tokens": statistics.median(answer.prompt_tokens for answer in answers),
        }

    return measure


async def long_prompt(target: Target) -> Figures:
    """A long prompt alone, then another one beside four streams, which have had eight tokens when it comes."""
    client, prompts, sizes = target.client, target.prompts, target.sizes
    alone = await client.ask(prompts.words(sizes.long_prompt), 4)
    begun = [_Counter(8) for _ in range(4)]
    running = [
        asyncio.create_task(client.ask(prompts.words(16), sizes.beside_answer, counter.count)) for counter in begun
    ]
    started = asyncio.gather(*(counter.reached.wait() for counter in begun))
    await asyncio.wait([started, *running], return_when=asyncio.FIRST_COMPLETED)
    sent = time.perf_counter()
    newcomer = await client.ask(prompts.words(sizes.long_prompt), 4)
    answers = await asyncio.gather(*running)
    came = newcomer.arrivals[0]
    if came > min(answer.ended for answer in answers):
        raise UnusableError("the four streams ended before the long prompt's first token")
    all_run = max(answer.arrivals[0] for answer in answers)
    step = statistics.median(gap for answer in answers for gap in answer.gaps(all_run, sent))
    return {
        "alone": alone.first,
        "beside": newcomer.first,
        "slower": newcomer.first / alone.first,
        "gap": max(gap for answer in answers for gap in answer.gaps(sent, came)),
        "gap_of_step": max(gap for answer in answers for gap in answer.gaps(sent, came)) / step,
        "wall": max(answer.ended for answer in answers) - min(answer.started for answer in answers),
    }


class _Counter:
    """Waits for a number of texts of a stream."""

    def __init__(self, wanted: int) -> None:
        self._left, self.reached = wanted, asyncio.Event()

    def count(self) -> None:
        """One more has come."""
        self._left -= 1
        if not self._left:
            self.reached.set()


async def one_prefix(target: Target) -> Figures:
    """Eight streams whose prompts begin alike, which come together."""
    prefix = target.prompts.words(target.sizes.prefix)
    prompts = [f"{prefix} {own}" for own in target.prompts.take(8, 16)]
    answers = await together(target.client, prompts, 32)
    return {"wall": _wall(answers), "first": statistics.median(answer.first for answer in answers)}


async def turns(target: Target) -> Figures:
    """Eight conversations whose turns repeat all before them, the answers too; all eight go on together."""
    began, first = time.perf_counter(), []
    conversations = target.prompts.take(8, 120)
    for turn in range(target.sizes.turns):
        answers = await together(target.client, conversations, 16)
        if turn:
            first += [answer.first for answer in answers]
        conversations = [
            f"{said}{answer.text} {target.prompts.words(24)}"
            for said, answer in zip(conversations, answers, strict=True)
        ]
    return {"wall": time.perf_counter() - began, "first": statistics.median(first)}


async def full_store(target: Target) -> Figures:
    """The pace of one and of eight streams, before and after many other prompts have left their prefixes."""
    figures: Figures = {}
    for when in ("fresh", "full"):
        if when == "full":
            await _fill(target)
        for width in (1, 8):
            figures[f"{when}_{width}"] = statistics.median([await _pace(target, width) for _ in range(_PACES)])
    return figures | {f"kept_{width}": figures[f"full_{width}"] / figures[f"fresh_{width}"] for width in (1, 8)}


async def _pace(target: Target, width: int) -> float:
    return pace(await together(target.client, target.prompts.take(width, STREAM_PROMPT), target.sizes.answer))


async def _fill(target: Target) -> None:
    tokens = 0
    while tokens < target.sizes.filled * target.model.cells:
        answers = await together(target.client, target.prompts.take(8, 100), 1)
        tokens += sum(answer.prompt_tokens for answer in answers)


async def calls(target: Target) -> Figures:
    """Answers of four tokens, back to back by eight callers: what surrounds the model."""
    seconds: list[float] = []

    async def caller() -> None:
        for _ in range(target.sizes.calls):
            answer = await target.client.ask(target.prompts.words(4), 4)
            seconds.append(answer.ended - answer.started)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(8)))
    rate_of_calls = len(seconds) / (time.perf_counter() - began)
    return {
        "rate": rate_of_calls,
        "p50": 1000 * statistics.median(seconds),
        "p99": 1000 * percentile(seconds, 99),
    }


async def overloaded(target: Target) -> Figures:
    """Ten times the requests that the server can answer."""
    sizes = target.sizes
    return await overload(target.client, target.prompts, target.model.slots, sizes.overload_seconds, sizes.patience)


async def start_and_memory(target: Target) -> Figures:
    """The time from a server's start to its first answer, and its memory then."""
    answer = await target.client.ask(target.prompts.words(8), 1)
    process = target.server.process
    if process is None:
        raise UnusableError("the server was not started here")
    return {"start": answer.ended - process.started, "memory": process.memory() / 2**20}


def _wall(answers: Sequence[Answer]) -> float:
    return max(answer.ended for answer in answers) - min(answer.started for answer in answers)


PAIR = (GRPC, LLAMA_SERVER)
SERVERS = (GRPC, LLAMA_SERVER, "llama-server-default", "llama_cpp.server")


def _streams(name: str, model: str, widths: Sequence[int], all_columns: Sequence[int] = (1,)) -> Workload:
    """Returns a workload of streams; only the widths of all_columns are measured by other columns than PAIR."""
    cases = tuple(
        Case(
            f"{width} streams" if width > 1 else "1 stream",
            streams(width),
            (Row("rate", f"{width} stream{'s' * (width > 1)}, tokens/s"),),
            width,
            columns=None if width in all_columns else PAIR,
        )
        for width in widths
    )
    return Workload(name, model, cases, tuple(COLUMNS), has_limit=True)


def table(sizes: Sizes, *, is_long: bool = False) -> tuple[Workload, ...]:
    """Returns all workloads, in the order of the table.

    Args:
        sizes: How much is asked.
        is_long: Whether all columns are measured everywhere, and the full store with the larger model too.
    """

    def widths(*usual: int) -> tuple[int, ...]:
        return sizes.widths or usual

    every = (GRPC, REST, V1, LLAMA_SERVER, "llama-server-default") if is_long else PAIR
    many = (1, 4, 8, 16, 32) if is_long else (1,)
    less = {"is_less_better": True}
    long_rows = (
        Row("alone", f"{sizes.long_prompt:,}-token prompt alone: first token, s", 2, **less),
        Row("beside", "… beside 4 streams: first token, s", 2, **less),
        Row("slower", "… as a multiple of alone", 2, **less),
        Row("gap", "… longest gap of the four, s", 2, **less),
        Row("gap_of_step", "… as a multiple of their normal step", **less),
        Row("wall", "… the four's time, s", **less),
    )
    prefix_rows = (
        Row("wall", f"8 streams with one {sizes.prefix}-token prefix: all done, s", **less),
        Row("first", "… first token, median, s", 2, **less),
    )
    turn_rows = (
        Row("wall", f"8 conversations of {sizes.turns} turns: all done, s", **less),
        Row("first", "… first token from turn 2, median, s", 2, **less),
    )
    store_rows = tuple(
        row
        for width in (1, 8)
        for row in (
            Row(f"fresh_{width}", f"{width} stream{'s' * (width > 1)} in an empty cache, decode tokens/s"),
            Row(f"full_{width}", f"… after {sizes.filled:.0%} of the cache's tokens of ended prompts"),
            Row(f"kept_{width}", "… of the pace that is left", 2),
        )
    )
    overload_rows = (
        Row("capacity", "capacity, tokens/s"),
        Row("goodput", "10 × overload: answered tokens/s, of capacity", 2),
        Row("refusal", "… refusal, median, ms", **less),
        Row("refusal_p99", "… refusal, p99, ms", **less),
        Row("health_p99", "… health check, p99, ms", **less),
        Row("refused", "… part of the requests that was refused", 2),
        Row("gave_up", "… part whose callers gave up", 2, **less),
        Row("failed", "… part that failed otherwise", 2, **less),
    )
    calls_rows = (
        Row("rate", "8 callers of 4-token answers, calls/s", 0),
        Row("p50", "… median, ms", **less),
        Row("p99", "… p99, ms", **less),
    )
    start_rows = (
        Row("start", "start to first answer, s", 2, **less),
        Row("memory", "memory of all processes, MiB", 0, **less),
    )

    def store(model: str) -> Workload:
        cases = (Case("full store", full_store, store_rows, 8),)
        return Workload("full", model, cases, every, is_heavy=True, needs_fresh_servers=True)

    return (
        _streams("streams", RANDOM, widths(1, 4, 8, 16), many),
        Workload("long", RANDOM, (Case("long prompt", long_prompt, long_rows, 5),), every, is_heavy=True),
        Workload("prefix", RANDOM, (Case("one prefix", one_prefix, prefix_rows, 8),), every, is_heavy=True),
        Workload("turns", RANDOM, (Case("turns", turns, turn_rows, 8),), every, is_heavy=True),
        *([store(RANDOM)] if is_long else []),
        _streams("streams", SMOLLM2, widths(1, 8), many),
        store(SMOLLM2),
        Workload("overload", SMOLLM2, (Case("overload", overloaded, overload_rows, 160),), every, is_heavy=True),
        _streams("streams", DEMO, widths(1, 8, 32), many),
        Workload("calls", DEMO, (Case("calls", calls, calls_rows, 8),), every),
        Workload("start", DEMO, (Case("start", start_and_memory, start_rows),), SERVERS, needs_fresh_servers=True),
    )
