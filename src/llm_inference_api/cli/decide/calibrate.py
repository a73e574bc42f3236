"""The command `llm-inference-api decide calibrate`: fits temperatures to labelled examples."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_inference_api.cli.common import address_option, calls_service, json_option
from llm_inference_api.cli.options import model_option
from llm_inference_api.cli.terminal import cell, console, table
from llm_inference_api.decisions.calibration import (
    Asked,
    CalibrationFile,
    CalibrationRecord,
    OptionRecord,
    asked_of,
    read_calibrations,
)
from llm_inference_api.decisions.distribution import tempered
from llm_inference_api.decisions.fitting import MIN_EXAMPLES, Labelled, Measures, cross_fitted, measures, temperature

if TYPE_CHECKING:
    from llm_inference.v1 import decisions_pb2
    from llm_inference_api.cli.connection import Client
    from llm_inference_api.cli.decide.examples import Example
    from llm_inference_api.decisions.question import Question


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question to a model, and its answers of which is known what is right."""

    model: str
    question: "Question"
    orders: int
    labelled: list[Labelled]

    def record(self) -> CalibrationRecord:
        """Returns the question with the temperature that fits its answers."""
        return CalibrationRecord(
            model=self.model,
            kind=self.question.kind,
            instructions=self.question.instructions,
            options=tuple(OptionRecord(value=value, description=text) for value, text in self.question.options),
            orders=self.orders,
            temperature=temperature(self.labelled),
            examples=len(self.labelled),
        )


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """What became of a question."""

    model: str
    question: str
    answers: int
    temperature: float
    before: Measures
    after: Measures
    """Of answers calibrated by temperatures that were fitted to others."""


@click.command()
@click.argument("examples", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("calibration.json"),
    show_default=True,
    help="File for LLM_CALIBRATION; what it has of other questions and models stays.",
)
@model_option
@json_option
@address_option
@calls_service
async def calibrate(*, examples: Path, output: Path, model: str, as_json: bool, address: str) -> None:
    """Fit a temperature to each question of EXAMPLES, by the answers of a running service.

    EXAMPLES has a line of JSON for each state: the fields of `/api/decide`, and the right `answers` by the names of the
    questions: {"text": "…", "questions": […], "answers": {"refund": true, "team": "billing"}}. A line without
    `questions` has those of the line before. What is said of the time after the calibration is measured on answers that
    the temperature was not fitted to.
    """
    from llm_inference_api.cli.connection import connect
    from llm_inference_api.cli.decide.examples import read_examples

    found = read_examples(examples)
    earlier = _read(output)
    async with connect(address) as client:
        answers = await _answers(client, model, found)
    for one in answers:
        if len(one.labelled) < MIN_EXAMPLES:
            few = f"{one.question.instructions!r} has {len(one.labelled)} right answers"
            raise click.ClickException(f"{few}; a temperature needs {MIN_EXAMPLES}")
    fitted = [one.record() for one in answers]
    rows = [_row(*pair) for pair in zip(answers, fitted, strict=True)]
    if as_json:
        click.echo(json.dumps([_json(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _print(rows)
    _write(output, {record.asked: record for record in (*earlier, *fitted)}.values())
    click.echo(f"written to {output}; the service uses it with LLM_CALIBRATION={output}", err=as_json)


def _read(output: Path) -> tuple[CalibrationRecord, ...]:
    return read_calibrations(output) if output.exists() else ()


def _write(output: Path, records: Iterable[CalibrationRecord]) -> None:
    text = CalibrationFile(calibrations=tuple(records)).model_dump_json(indent=1)
    try:
        output.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written ({error.strerror})") from error


async def _answers(client: "Client", model: str, examples: "Sequence[Example]") -> list[AnsweredQuestion]:
    """Returns what the service answers to each question that has right answers."""
    found: dict[Asked, AnsweredQuestion] = {}
    for example in examples:
        if model:
            example.request.model = model
        response = await client.decide(example.request)
        for question, right, decision in zip(example.questions, example.right, response.decisions, strict=True):
            if right is None:
                continue
            orders = len(question.orders(example.rotations))
            asked = asked_of(response.model, question, orders)
            answered = found.setdefault(asked, AnsweredQuestion(response.model, question, orders, []))
            # The same question may have its options in another order here.
            values = [option.value.strip() for option in answered.question.options]
            at = values.index(question.options[right].value.strip())
            answered.labelled.append(Labelled(_of_the_model(decision, values), at))
    return list(found.values())


def _of_the_model(decision: "decisions_pb2.Decision", values: Sequence[str]) -> tuple[float, ...]:
    """Returns the values' probabilities as they were before a calibration that the service uses already."""
    from llm_inference_api.cli.decide.bars import probabilities

    found = {value.strip(): probability for value, probability in probabilities(decision)}
    given = tuple(found[value] for value in values)
    return tempered(given, 1.0 / decision.temperature) if decision.HasField("temperature") else given


def _row(answered: AnsweredQuestion, record: CalibrationRecord) -> CalibrationRow:
    labelled = answered.labelled
    before, after = measures(labelled), measures(cross_fitted(labelled))
    return CalibrationRow(record.model, record.instructions, len(labelled), record.temperature, before, after)


def _json(row: CalibrationRow) -> dict[str, object]:
    return {**asdict(row), "before": row.before._asdict(), "after": row.after._asdict()}


def _print(rows: Sequence[CalibrationRow]) -> None:
    shown = table("question", "answers", "temperature", "accuracy", "Brier score", "calibration error")
    for row in rows:
        pairs = zip(row.before, row.after, strict=True)
        shown.add_row(
            cell(row.question),
            cell(row.answers),
            cell(f"{row.temperature:.2f}"),
            *(cell(f"{before:.3f} → {after:.3f}") for before, after in pairs),
        )
    console().print(shown)
