"""Measures workloads.

The servers that a workload needs run at the same time, and are asked in turn, so that what changes on the machine meets
all of them; who is not asked does nothing meanwhile.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.comparison.answers import Prompts, RefusedError, UnusableError
from benchmarks.comparison.limit import limits
from benchmarks.comparison.models import ModelFile
from benchmarks.comparison.peers import COLUMNS, Column, Server, Setup, start
from benchmarks.comparison.processes import StartError
from benchmarks.comparison.results import LIMIT, Gap, Measurement, Results
from benchmarks.comparison.workloads import Case, Sizes, Target, Workload, stream_tokens

_LONGEST = 900.0
"""Seconds of one measurement."""
_LOOK = 0.1
"""Seconds between two looks at the servers' processor time."""
_IDLE_TICKS = 2
"""Hundredths of a second of processor time that idle servers stay below between two looks."""
_LONGEST_UNREST = 10.0
ONE_AT_A_TIME = "It computes one answer at a time."


@dataclass(frozen=True)
class Question:
    """One case of a workload, and the model that is asked."""

    workload: Workload
    case: Case
    model: ModelFile


class Run:
    """A run over workloads, with what it has measured."""

    def __init__(self, setup: Setup, sizes: Sizes, seed: int, columns: Sequence[str], results: Results) -> None:
        self._setup, self._sizes, self._seed = setup, sizes, seed
        self._columns, self._results = columns, results

    async def measure(self, workload: Workload, model: ModelFile) -> None:
        """Measures one workload with all columns that it is for."""
        chosen = [COLUMNS[name] for name in workload.columns if name in self._columns]
        if workload.needs_fresh_servers:
            await self._with_fresh_servers(workload, model, chosen)
        else:
            await self._with_the_same_servers(workload, model, chosen)
        if workload.has_limit and not self._setup.address:
            self._find_limits(workload, model)

    async def _with_the_same_servers(self, workload: Workload, model: ModelFile, columns: Sequence[Column]) -> None:
        servers: dict[str, Server] = {}
        try:
            for name in dict.fromkeys(column.server for column in columns):
                if server := await self._start(name, workload, model, columns):
                    servers[name] = server
            for case in workload.cases:
                able = [column for column in self._able(workload, case, columns) if column.server in servers]
                for repeat in range(workload.repeats(self._sizes)):
                    for column in rotated(able, repeat):
                        await until_idle(servers.values())
                        await self._one(Question(workload, case, model), column, servers[column.server], repeat)
        finally:
            for server in servers.values():
                await server.stop()

    async def _with_fresh_servers(self, workload: Workload, model: ModelFile, columns: Sequence[Column]) -> None:
        for case in workload.cases:
            able = self._able(workload, case, columns)
            for repeat in range(workload.repeats(self._sizes)):
                for column in rotated(able, repeat):
                    if server := await self._start(column.server, workload, model, [column]):
                        try:
                            await self._one(Question(workload, case, model), column, server, repeat)
                        finally:
                            await server.stop()

    def _able(self, workload: Workload, case: Case, columns: Sequence[Column]) -> list[Column]:
        """Returns the columns that a case is measured with, and notes which of the others cannot be."""
        able = []
        for column in columns:
            if case.streams > 1 and not column.is_parallel:
                self._gap(workload, case, column, ONE_AT_A_TIME)
            elif case.columns is None or column.name in case.columns:
                able.append(column)
        return able

    async def _start(self, name: str, workload: Workload, model: ModelFile, columns: Sequence[Column]) -> Server | None:
        """Returns a server that has answered once; None, with a note, if it cannot serve the model."""
        try:
            server = await start(name, self._setup, model)
        except (StartError, OSError) as error:
            # What it said without the directory, which is nobody else's.
            reason = f"{name}: {error}".replace(str(model.path), model.path.name)
        else:
            try:
                if workload.name != "start":
                    for wire, client in server.clients.items():
                        await client.ask(Prompts(self._seed, "warm-up", name, wire).words(8), 4)
            except (UnusableError, RefusedError) as error:
                await server.stop()
                reason = f"{name}: {error}"
            else:
                return server
        for case in workload.cases:
            for column in columns:
                if column.server == name:
                    self._gap(workload, case, column, reason)
        return None

    async def _one(self, question: Question, column: Column, server: Server, repeat: int) -> None:
        workload, case, model = question.workload, question.case, question.model
        # Wires of one server share its cache, so each has prompts of its own; different servers have the same ones.
        prompts = Prompts(self._seed, workload.name, model.name, case.name, repeat, column.own_prompts)
        target = Target(server, server.clients[column.wire], model, prompts, self._sizes)
        label = f"{model.name}  {case.name}  {column.name}  {repeat + 1}"
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_LONGEST):
                figures = await case.measure(target)
        except (UnusableError, RefusedError, TimeoutError) as error:
            reason = f"{column.title}: {error}" if str(error) else f"{column.title}: no answer within {_LONGEST:.0f} s"
            self._gap(workload, case, column, reason)
            report(f"{label}: {reason}")
            return
        where = (workload.name, model.name, case.name, column.name, repeat)
        self._results.measurements.append(Measurement(*where, figures))
        values = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        report(f"{label}: {values}  ({time.perf_counter() - began:.1f} s)")

    def _gap(self, workload: Workload, case: Case, column: Column, reason: str) -> None:
        gap = Gap(workload.name, workload.model, case.name, column.name, reason)
        if gap not in self._results.gaps:
            self._results.gaps.append(gap)

    def _find_limits(self, workload: Workload, model: ModelFile) -> None:
        """Asks llama.cpp for the same numbers of tokens as the answers of this workload had."""
        keys = {case.streams: (workload.name, workload.model, case.name) for case in workload.cases}
        seen = [
            each.figures["prompt_tokens"]
            for each in self._results.measurements
            if each.key in keys.values() and each.figures["prompt_tokens"]
        ]
        if not seen:
            return
        prompt, tokens = round(statistics.median(seen)), stream_tokens(model.name, self._sizes)
        try:
            found = limits(self._setup, model, prompt, tokens, list(keys))
        except StartError as error:
            for key in keys.values():
                self._results.gaps.append(Gap(*key, LIMIT, f"llama-batched-bench: {error}"))
            return
        for width, rate in found.items():
            self._results.limits.append((keys[width], rate))
            report(f"{model.name}  {width} streams  limit: rate {rate:.4g}")


async def until_idle(servers: Iterable[Server]) -> None:
    """Returns when no server computes: some put their caches in order after an answer, at the next one's cost."""
    processes = [server.process for server in servers if server.process]
    ends = time.perf_counter() + _LONGEST_UNREST
    before = -_IDLE_TICKS
    while (now := sum(process.processor_ticks() for process in processes)) - before >= _IDLE_TICKS:
        if time.perf_counter() > ends:
            report(f"a server still computes {_LONGEST_UNREST:.0f} s after its last answer")
            return
        before = now
        await asyncio.sleep(_LOOK)


def rotated(columns: Sequence[Column], turn: int) -> list[Column]:
    """Returns the columns beginning with another one each turn."""
    first = turn % len(columns) if columns else 0
    return [*columns[first:], *columns[:first]]


def report(text: str) -> None:
    """Prints how far the run is; the table alone goes to the standard output."""
    print(text, file=sys.stderr, flush=True)
