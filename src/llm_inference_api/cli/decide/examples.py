"""Labelled examples: lines of JSON, each a request to `/api/decide` with the right `answers`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
from google.protobuf import json_format

from llm_inference.v1 import decisions_pb2
from llm_inference_api.api.native.decisions import read_question
from llm_inference_api.decisions.question import DEFAULT_ROTATIONS, Kind, Question, check_questions
from llm_inference_api.errors import InvalidFieldError


class Example(NamedTuple):
    """A request whose right answers are known."""

    request: decisions_pb2.DecideRequest
    questions: tuple[Question, ...]
    rotations: int
    right: tuple[int | None, ...]
    """For each question the index of the right option; None: it is not known."""


def read_examples(path: Path) -> list[Example]:
    """Returns the examples of a file. A line without `questions` has those of the line before.

    Raises:
        click.UsageError: A line is no example; the error names it.
    """
    found: list[Example] = []
    questions: object = None
    for number, line in _lines(path):
        try:
            body = _object(line)
            questions = body.setdefault("questions", questions)
            found.append(_example(body))
        except (ValueError, InvalidFieldError, json_format.ParseError) as error:
            raise click.UsageError(f"{path}, line {number}: {error}") from error
    if not found:
        raise click.UsageError(f"{path} has no examples")
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise click.UsageError(f"{path} cannot be read ({error})") from error
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _object(line: str) -> dict[str, Any]:
    body = json.loads(line)
    if not isinstance(body, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - like all that is wrong with a line
    return body


def _example(body: dict[str, Any]) -> Example:
    answers = body.pop("answers", None)
    if not isinstance(answers, dict) or not answers:
        raise InvalidFieldError("answers", "must be an object with the right answers, by the names of the questions")
    request = json_format.ParseDict(body, decisions_pb2.DecideRequest())
    rotations = request.rotations if request.HasField("rotations") else DEFAULT_ROTATIONS
    questions = tuple(read_question(f"questions[{index}]", one) for index, one in enumerate(request.questions))
    check_questions("questions", questions, rotations)
    if unknown := answers.keys() - {question.name for question in questions}:
        raise InvalidFieldError("answers", f"{min(unknown)!r} is the name of no question")
    right = tuple(_right(one, answers[one.name]) if one.name in answers else None for one in questions)
    return Example(request, questions, rotations, right)


def _right(question: Question, answer: object) -> int:
    values = [option.value for option in question.options]
    value = ("yes" if answer else "no") if question.kind is Kind.PREDICATE and isinstance(answer, bool) else answer
    if value not in values:
        allowed = "true or false" if question.kind is Kind.PREDICATE else f"one of {', '.join(values)}"
        raise InvalidFieldError(f"answers.{question.name}", f"must be {allowed}, not {answer!r}")
    return values.index(str(value))
