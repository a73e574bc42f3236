"""Calibrations, and the file that has them."""

from dataclasses import replace
from pathlib import Path

import pytest

from llm_inference_api.decisions.calibration import (
    CalibrationFile,
    CalibrationRecord,
    Calibrations,
    OptionRecord,
    read_calibrations,
)
from llm_inference_api.decisions.question import Kind, Option, Question
from llm_inference_api.errors import StartError

TEAM = Question("questions[0]", Kind.CHOICE, "Which team?", (Option("a", "first"), Option("b")), "choice")
OPTIONS = (OptionRecord(value="a", description="first"), OptionRecord(value="b"))
RECORD = CalibrationRecord(
    model="m", kind=Kind.CHOICE, instructions="Which team?", options=OPTIONS, orders=2, temperature=1.5
)


def test_question_has_its_temperature() -> None:
    """Whatever its name, its place and the order of its options."""
    turned = replace(TEAM, field="questions[9]", name="team", options=TEAM.options[::-1])
    assert Calibrations([RECORD]).temperature("m", turned, 2) == 1.5


@pytest.mark.parametrize(
    ("model", "question", "rotations"),
    [
        ("other", TEAM, 2),
        ("m", replace(TEAM, instructions="Which?"), 2),
        ("m", replace(TEAM, options=(Option("a"), Option("b"))), 2),
        ("m", replace(TEAM, kind=Kind.SCORE), 2),
        ("m", TEAM, 1),
    ],
)
def test_what_the_model_is_not_shown_alike_has_none(model: str, question: Question, rotations: int) -> None:
    """A temperature holds for one model and what it is shown."""
    assert Calibrations([RECORD]).temperature(model, question, rotations) is None


def test_levels_in_another_order_are_another_question() -> None:
    """A scale has a direction."""
    levels = replace(TEAM, kind=Kind.SCORE)
    calibrations = Calibrations([RECORD.model_copy(update={"kind": Kind.SCORE})])
    assert calibrations.temperature("m", levels, 2) == 1.5
    assert calibrations.temperature("m", replace(levels, options=levels.options[::-1]), 2) is None


def test_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All of a record."""
    path = tmp_path / "calibration.json"
    path.write_text(CalibrationFile(calibrations=(RECORD,)).model_dump_json())
    assert read_calibrations(path) == (RECORD,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read"),
        ("{}", "calibrations: Field required"),
        ('{"calibrations": [{"model": "m", "temperature": 0}]}', "calibrations.0"),
        ("[", "is no calibration file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | None, problem: str) -> None:
    """With the field that is wrong."""
    path = tmp_path / "calibration.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartError, match=problem):
        read_calibrations(path)
