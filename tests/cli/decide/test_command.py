"""`llm-inference-api decide`, against a running service."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from llm_inference_api.cli.main import cli
from tests.cli.test_main import run
from tests.e2e.service import RunningService, run_service

QUESTION = {"name": "polite", "instructions": "Polite?", "predicate": {}}


def invoke(*arguments: str, stdin: str = "") -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(cli, arguments, input=stdin)


def lines(count: int) -> str:
    """Returns as many examples."""
    examples = [{"text": f"text {at}", "answers": {"polite": at % 3 == 0}} for at in range(count)]
    return "\n".join(json.dumps({**example, "questions": [QUESTION]}) for example in examples)


def test_bars_show_all_allowed_answers(service: RunningService) -> None:
    """Each question with its options, their probabilities and what to trust."""
    asked = ("--predicate", "Polite?", "--choice", "Which?|billing=charges|shipping", "--score", "How?|low|high")
    done = invoke("decide", "hello", *asked, "--model", "tiny", "--address", service.address)
    assert done.exit_code == 0, done.stderr
    words = done.stdout.split()
    assert [word for word in words if word in ("yes", "no", "billing", "shipping", "low", "high")] == [
        *("yes", "no", "billing", "shipping", "low", "high")
    ]
    assert words.count("coverage") == 3


def test_json_is_that_of_rest(service: RunningService) -> None:
    """Standard input is the text of `-`; a text that is a command's name goes behind `ask`."""
    options = ("--predicate", "Polite?", "--json", "--model", "tiny", "--address", service.address)
    done = invoke("decide", "-", *options, stdin="calibrate")
    assert done.exit_code == 0, done.stderr
    (decision,) = json.loads(done.stdout)["decisions"]
    (named,) = json.loads(invoke("decide", "ask", "calibrate", *options).stdout)["decisions"]
    assert decision == named


def test_questions_are_checked(service: RunningService) -> None:
    """A sentence says what would be right."""
    assert "ask something" in invoke("decide", "hello").stderr
    assert "has no answers" in invoke("decide", "hello", "--choice", "Which?").stderr


def test_service_uses_what_calibrate_has_written(
    service: RunningService, tmp_path: Path, model_directory: Path
) -> None:
    """The answer has the temperature of the file, and keeps its order; calibrating again finds the same."""
    examples, output = tmp_path / "examples.jsonl", tmp_path / "calibration.json"
    examples.write_text(lines(12))
    fit = ("decide", "calibrate", str(examples), "--output", str(output), "--json", "--model", "tiny", "--address")
    done = invoke(*fit, service.address)
    assert done.exit_code == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["answers"] == 12
    assert row["before"]["accuracy"] == row["after"]["accuracy"]
    variables = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_CALIBRATION": str(output)}
    with run_service(tmp_path, model_directory, **variables) as calibrated:
        asked = ("--predicate", "Polite?", "--json", "--model", "tiny", "--address", calibrated.address)
        (decision,) = json.loads(invoke("decide", "text 1", *asked).stdout)["decisions"]
        (again,) = json.loads(invoke(*fit, calibrated.address).stdout)
    assert decision["temperature"] == row["temperature"]
    assert abs(again["temperature"] / row["temperature"] - 1) < 1e-6


def test_few_answers_are_refused(service: RunningService, tmp_path: Path) -> None:
    """A temperature of three answers would mean nothing."""
    examples = tmp_path / "examples.jsonl"
    examples.write_text(lines(3))
    done = invoke("decide", "calibrate", str(examples), "--model", "tiny", "--address", service.address)
    assert done.exit_code == 1
    assert "needs 10" in done.stderr


def test_calibration_file_is_checked_at_the_start(tmp_path: Path) -> None:
    """The variable is named."""
    done = run("serve", "--no-envoy", LLM_CALIBRATION=str(tmp_path / "none.json"))
    assert done.returncode == 2
    assert "cannot start: LLM_CALIBRATION" in done.stderr
