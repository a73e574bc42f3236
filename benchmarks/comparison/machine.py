"""When, where and with which versions was measured."""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.comparison.peers import Setup

_PROJECT = Path(__file__).parents[2]
_COMMIT = ("git", "-C", str(_PROJECT), "describe", "--always", "--dirty")
_PEERS = ("ctransformers", "mistralrs")
_VERSIONS = """
from importlib.metadata import PackageNotFoundError, version
for name in {names!r}:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        print(name, "not installed")
"""


def conditions(setup: Setup, form: str, seed: int) -> dict[str, str]:
    """Returns what a reader has to know, by name."""
    found = {
        "date": time.strftime("%d %B %Y, %H:%M UTC", time.gmtime()),
        "machine": f"{processor()}, {setup.threads} threads on {len(os.sched_getaffinity(0))} processors",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "form": form,
        "seed": str(seed),
        "service": f"{version('llm-inference-api')} {_output(*_COMMIT)}",
        "settings": ", ".join(f"{name}={value}" for name, value in setup.environment.items()),
    }
    if setup.address:
        return found | {"service": setup.address}
    return found | {
        "Python": platform.python_version(),
        "llama-cpp-python, whose llama.cpp all have": version("llama-cpp-python"),
        "other libraries": ", ".join(_output(str(setup.python), "-c", _VERSIONS.format(names=_PEERS)).splitlines()),
    }


def processor() -> str:
    """Returns the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _output(*command: str) -> str:
    """Returns what a command prints; nothing where it cannot run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    except OSError:
        return ""
