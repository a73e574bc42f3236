"""Lines of labelled examples."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from llm_inference_api.cli.decide.examples import read_examples

QUESTIONS = [
    {"name": "refund", "instructions": "Money back?", "predicate": {}},
    {"name": "team", "instructions": "Which?", "choice": {"options": [{"value": "a"}, {"value": "b"}]}},
]
LINE: dict[str, Any] = {"text": "hello", "questions": QUESTIONS, "answers": {"refund": False, "team": "b"}}


def written(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_answers_are_indices_of_options(tmp_path: Path) -> None:
    """Yes comes before no; a question may have no right answer; questions stay until others are given."""
    found = read_examples(written(tmp_path / "x", LINE, {"text": "more", "answers": {"refund": True}}))
    assert [example.right for example in found] == [(1, 1), (0, None)]
    assert [example.request.text for example in found] == ["hello", "more"]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "line 2"),
        ("[]", "is no JSON object"),
        ({**LINE, "answers": {}}, "answers"),
        ({**LINE, "answers": {"x": 1}}, "'x' is the name of no question"),
        ({**LINE, "answers": {"team": "c"}}, r"answers\.team: must be one of a, b"),
        ({**LINE, "answers": {"refund": 1}}, r"answers\.refund: must be true or false"),
        ({**LINE, "txt": ""}, "txt"),
        ({**LINE, "questions": [{"name": "team", "instructions": "?"}]}, r"questions\[0\]"),
    ],
)
def test_other_lines_are_refused_with_their_number(tmp_path: Path, line: object, problem: str) -> None:
    """Before the service is asked anything."""
    with pytest.raises(click.UsageError, match=problem) as caught:
        read_examples(written(tmp_path / "x", LINE, line))
    assert "line 2" in caught.value.message


def test_file_without_examples_is_refused(tmp_path: Path) -> None:
    """Nothing can be fitted to it."""
    with pytest.raises(click.UsageError, match="has no examples"):
        read_examples(written(tmp_path / "x", ""))
