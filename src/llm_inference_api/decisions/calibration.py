"""Calibrations: by which temperature the answers to a question are calibrated, from a file of `decide calibrate`."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_inference_api.decisions.question import Kind, Option, Question
from llm_inference_api.errors import StartError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OptionRecord(_Strict):
    """An option of the question, as `Option` has it."""

    value: str
    description: str = ""


class CalibrationRecord(_Strict):
    """A question to a model, with the temperature that was fitted to labelled examples of its answers."""

    model: str
    kind: Kind
    instructions: str
    options: tuple[OptionRecord, ...]
    orders: int
    """In how many orders the options were shown."""
    temperature: float = Field(gt=0, allow_inf_nan=False)
    examples: int = 0
    """Number of labelled answers that the temperature was fitted to."""

    @property
    def asked(self) -> "Asked":
        """What distinguishes the record from others."""
        options = tuple(Option(one.value, one.description) for one in self.options)
        return asked_of(self.model, Question("", self.kind, self.instructions, options, ""), self.orders)


class CalibrationFile(_Strict):
    """The file's JSON."""

    calibrations: tuple[CalibrationRecord, ...]


class Asked(NamedTuple):
    """What a model is asked, whatever the order of the options and the name of the question."""

    model: str
    kind: Kind
    instructions: str
    options: tuple[tuple[str, str], ...]
    orders: int


def asked_of(model: str, question: Question, orders: int) -> Asked:
    """Returns what a question to a model is, shown in so many orders."""
    shown = tuple((option.value.strip(), option.description.strip()) for option in question.options)
    in_order = shown if question.kind is Kind.SCORE else tuple(sorted(shown))
    return Asked(model, question.kind, question.instructions.strip(), in_order, orders)


class Calibrations:
    """Temperatures of questions to models."""

    def __init__(self, records: Iterable[CalibrationRecord] = ()) -> None:
        self._temperatures = {record.asked: record.temperature for record in records}

    def temperature(self, model: str, question: Question, rotations: int) -> float | None:
        """Returns the temperature of a question to a model; None: there is none for what the model is shown."""
        if not self._temperatures:
            return None
        return self._temperatures.get(asked_of(model, question, len(question.orders(rotations))))


def read_calibrations(path: Path) -> tuple[CalibrationRecord, ...]:
    """Returns the records of a calibration file.

    Raises:
        StartError: The file cannot be read, or has another format.
    """
    try:
        return CalibrationFile.model_validate_json(path.read_bytes()).calibrations
    except OSError as error:
        raise StartError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"])) or "the file"
        raise StartError(f"{path} is no calibration file: {field}: {problem['msg']}") from error
