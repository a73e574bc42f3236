"""The report on this machine."""

import json

from tests.cli.test_main import run
from tests.fakes.ports import free_port


def test_report_is_a_line_for_each_finding() -> None:
    """Or JSON; both have the same."""
    variables = {"LLM_INFERENCE_PORT": str(free_port()), "LLM_GRPC_PORT": str(free_port()), "HF_HUB_OFFLINE": "1"}
    shown = run("doctor", **variables)
    assert shown.returncode == 0, shown.stdout
    found = json.loads(run("doctor", "--json", **variables).stdout)
    assert {finding["subject"] for finding in found} >= {
        "settings",
        "processors",
        "memory",
        "llama.cpp",
        "Envoy",
        "hub",
    }
    assert all(any(finding["subject"] in line for line in shown.stdout.splitlines()) for finding in found)


def test_problem_is_an_exit_code() -> None:
    """Here one of the settings, without which nothing else can be looked at."""
    done = run("doctor", LLM_INFERENCE_PORT="x")
    assert done.returncode == 1
    assert "LLM_INFERENCE_PORT" in done.stdout
