"""Figures of a benchmark, from answers with known times and from a service."""

import json

import pytest

from llm_inference_api.cli.bench import Timed, row
from tests.cli.test_main import run
from tests.e2e.service import RunningService


def test_stream_is_timed_in_two_parts() -> None:
    """Its prompt until the first token, then its other tokens."""
    found = row([Timed(first=0.5, seconds=2.5, prompt_tokens=100, tokens=21)], 2.5)
    assert (found.prefill_per_second, found.decode_per_second) == (200, 10)
    assert found.tokens_per_second == 21 / 2.5


def test_streams_add_up() -> None:
    """Prompts are read when the last stream has begun; the first token is that of the median stream."""
    answers = [Timed(1.0, 2.0, 10, 11), Timed(2.0, 3.0, 10, 11), Timed(4.0, 5.0, 10, 11)]
    found = row(answers, 5.0)
    assert found.prefill_per_second == 30 / 4
    assert found.decode_per_second == 30
    assert found.first_token_ms == 2000


def test_answer_of_one_token_has_no_pace() -> None:
    """Its end is that of its first token."""
    assert row([Timed(1.0, 1.0, 10, 1)], 1.0).decode_per_second == 0


def test_rows_are_those_that_were_asked_for(service: RunningService) -> None:
    """Each with as many streams, words and tokens."""
    done = run(
        *("bench", "-m", "tiny", "--streams", "1,3", "--words", "5", "--max-tokens", "4", "--json"),
        *("--address", service.address),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(found["streams"], found["tokens"]) for found in rows] == [(1, 4), (3, 12)]
    assert all(found["decode_per_second"] > 0 for found in rows)


@pytest.mark.parametrize("streams", ["0", "x", "1,,2"])
def test_streams_that_are_no_numbers_are_refused(streams: str) -> None:
    """Before the service is called."""
    done = run("bench", "--streams", streams)
    assert (done.returncode, "--streams" in done.stderr) == (2, True)
