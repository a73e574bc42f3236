"""Measures the service beside other servers on this machine; prints Markdown, and writes the raw figures as JSON.

Run as `make bench`, which builds the other servers first, or as `python -m benchmarks.comparison` with options.
"""

import argparse
import asyncio
import os
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.comparison import machine, models, table
from benchmarks.comparison.models import ModelFile
from benchmarks.comparison.peers import COLUMNS, GRPC, Setup
from benchmarks.comparison.results import Results
from benchmarks.comparison.run import Run, report
from benchmarks.comparison.workloads import FORMS, Workload
from benchmarks.comparison.workloads import table as all_workloads

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llm-inference-api"
_RUNNING = "running"
"""What stands for the model of a service that runs already."""
_TOOLS = _CACHE / "bench" / version("llama-cpp-python")


def main() -> None:
    """Runs what the options choose."""
    options = _options()
    workloads = _chosen(options)
    logs = options.logs or Path(tempfile.mkdtemp(prefix="bench-"))
    variables = dict(each.partition("=")[::2] for each in options.set)
    setup = Setup(options.tools.absolute(), options.threads, logs.absolute(), variables, options.running)
    results = Results(machine.conditions(setup, options.form, options.seed))
    columns = [GRPC] if options.running else options.peers
    run = Run(setup, FORMS[options.form], options.seed, columns, results)
    began = time.perf_counter()
    titles = {}
    for workload in workloads:
        model = _model(workload, options)
        titles[workload.model] = model.title
        asyncio.run(run.measure(workload, model))
        results.write(options.json)
    report(f"{time.perf_counter() - began:.0f} s; raw figures in {options.json}, logs in {logs}")
    print(table.markdown(results, workloads, titles), end="")


def _chosen(options: argparse.Namespace) -> list[Workload]:
    found = all_workloads(FORMS[options.form], is_long=options.form == "long")
    if options.running:
        # One model is served, whichever it is: each kind of work once, but for those that need servers of their own.
        once = {work.name: work for work in reversed(found) if not work.needs_fresh_servers}
        found = tuple(replace(work, model=_RUNNING) for work in reversed(once.values()))
    chosen = [
        work
        for work in found
        if (not options.workloads or work.name in options.workloads)
        and (options.running or not options.models or work.model in options.models)
    ]
    if not chosen:
        raise SystemExit(
            "no workload is chosen; there are " + ", ".join(f"{work.name} of {work.model}" for work in found)
        )
    return chosen


def _model(workload: Workload, options: argparse.Namespace) -> ModelFile:
    if options.running:
        served = options.models[0] if options.models else ""
        return ModelFile(served, served or "the default model", Path(), options.slots, cells=16384, context=4096)
    return models.find(workload.model, options.cache)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.comparison", description=__doc__)
    every = all_workloads(FORMS["long"], is_long=True)
    names = list(dict.fromkeys(work.name for work in every))
    parser.add_argument(
        "--form", choices=FORMS, default="short", help="how much is measured; trial's figures mean nothing"
    )
    parser.add_argument("--workloads", type=_listed(names), help="of " + ", ".join(names))
    parser.add_argument(
        "--models", type=lambda text: text.split(","), help="of 1.1b, smollm2, demo; with --running, its id"
    )
    parser.add_argument("--peers", type=_listed(list(COLUMNS)), default=list(COLUMNS), help="of " + ", ".join(COLUMNS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each server")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the service")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the prompts; another one each time")
    parser.add_argument("--cache", type=Path, default=_CACHE, help="where the random model is kept")
    parser.add_argument("--tools", type=Path, default=_TOOLS, help="llama.cpp's programs and the peers' Python")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="file for the raw figures")
    parser.add_argument("--logs", type=Path, help="directory for the servers' logs; a new temporary one without it")
    parser.add_argument("--running", default="", metavar="HOST:PORT", help="measure a running service, over gRPC alone")
    parser.add_argument("--slots", type=int, default=10, help="answers at once of the running service")
    return parser.parse_args()


def _listed(names: list[str]):  # noqa: ANN202 - argparse's own kind
    def read(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(names):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
        return chosen

    return read


if __name__ == "__main__":
    main()
