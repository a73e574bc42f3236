"""Checks of processors, memory, limits and tools."""

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llm_inference_api.cli.checks import machine
from llm_inference_api.cli.checks.finding import Finding
from llm_inference_api.config.settings import Settings, available_processors

GIB = 1 << 30
Check = Callable[[Settings], Iterator[Finding]]


def only(check: Check, **settings: object) -> Finding:
    (finding,) = check(Settings(**settings))  # type: ignore[arg-type]
    return finding


def test_more_threads_than_processors_are_advised_against() -> None:
    """They wait for each other; as many are fine."""
    usable = available_processors()
    assert only(machine.processors, threads=usable).verdict == "ok"
    found = only(machine.processors, threads=usable + 1)
    assert (found.verdict, f"LLM_THREADS to {usable}" in found.todo) == ("advice", True)


@pytest.mark.parametrize(
    ("budget", "limit", "verdict"),
    [(4, None, "ok"), (12, None, "advice"), (4, 8, "ok"), (12, 10, "problem"), (20, None, "problem")],
)
def test_budget_is_held_to_what_is_there(
    monkeypatch: pytest.MonkeyPatch, budget: int, limit: int | None, verdict: str
) -> None:
    """Of 16 GiB 10 are free; what is more than all, or than a control group's limit, cannot be had."""
    sizes = {"MemTotal": 16 * GIB, "MemAvailable": 10 * GIB}
    monkeypatch.setattr(machine, "machine_memory", lambda name="MemTotal": sizes[name])
    monkeypatch.setattr(machine, "memory_limit", lambda: limit and limit * GIB)
    found = only(machine.memory, memory_budget=budget * GIB)
    assert found.verdict == verdict
    assert ("LLM_MEMORY_BUDGET" in found.todo) == (verdict != "ok")


@pytest.mark.parametrize(("limits", "verdict"), [((1024, 65536), "advice"), ((65536, 65536), "ok")])
def test_few_open_files_are_advised_against(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], verdict: str
) -> None:
    """Each connection takes one."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: limits)
    assert only(machine.open_files).verdict == verdict


def test_missing_compiler_is_no_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is installed runs without."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert only(machine.compiler).verdict == "advice"
    (tmp_path / "g++").touch(mode=0o755)
    assert only(machine.compiler) == Finding("ok", "compiler", str(tmp_path / "g++"))
