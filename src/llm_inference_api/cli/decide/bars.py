"""Prints answers to typed questions."""

import json
from collections.abc import Iterator, Sequence

import click
from google.protobuf import json_format
from rich.bar import Bar
from rich.padding import Padding

from llm_inference.v1 import decisions_pb2
from llm_inference_api.cli.terminal import cell, console, table

_WIDTH = 30
"""Columns of a bar whose answer has all of the probability."""
_INDENT = (0, 0, 0, 2)
"""Columns around the bars: above, right, below, left."""


def print_json(response: decisions_pb2.DecideResponse) -> None:
    """Prints the response as REST has it."""
    found = json_format.MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def print_decisions(questions: Sequence[decisions_pb2.Question], decisions: Sequence[decisions_pb2.Decision]) -> None:
    """Prints each question with a bar for each allowed answer, and what says how far to trust it."""
    terminal = console()
    for question, decision in zip(questions, decisions, strict=True):
        terminal.print(cell(question.instructions, "bold"))
        rows = table("", "", "")
        for value, probability in probabilities(decision):
            bar = Bar(1.0, 0.0, probability, width=_WIDTH)
            rows.add_row(cell(value), bar, cell(f"{probability:.3f}"))
        rows.add_row(cell(""), cell(_trust(decision), "dim"), cell(""))
        terminal.print(Padding(rows, _INDENT, expand=False))


def probabilities(decision: decisions_pb2.Decision) -> Iterator[tuple[str, float]]:
    """Yields all allowed answers with their probabilities, in order."""
    kind = decision.WhichOneof("answer")
    if kind == "predicate":
        yield "yes", decision.predicate.probability
        yield "no", 1.0 - decision.predicate.probability
    else:
        spread = decision.choice.probabilities if kind == "choice" else decision.score.probabilities
        yield from ((one.value, one.probability) for one in spread)


def _trust(decision: decisions_pb2.Decision) -> str:
    words = [f"score {decision.score.score:.2f}"] if decision.HasField("score") else []
    words.append(f"coverage {decision.coverage:.3f}")
    if decision.HasField("temperature"):
        words.append(f"calibrated, temperature {decision.temperature:.2f}")
    return ", ".join(words)
