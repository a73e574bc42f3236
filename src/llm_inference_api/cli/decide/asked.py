"""Questions as they are written on the command line."""

import click

from llm_inference.v1 import decisions_pb2

_SEPARATOR = "|"
_RIGHT_WHEN = "="


def predicate(text: str) -> decisions_pb2.Question:
    """Returns the question with yes or no for an answer."""
    return decisions_pb2.Question(instructions=text, predicate=decisions_pb2.Predicate())


def choice(text: str) -> decisions_pb2.Question:
    """Returns a question of `question|option|option=when it is right`. Raises click.BadParameter."""
    instructions, options = _parts("--choice", text)
    return decisions_pb2.Question(instructions=instructions, choice=decisions_pb2.OptionChoice(options=options))


def score(text: str) -> decisions_pb2.Question:
    """Returns a question of `question|lowest level|next level=when it is right`. Raises click.BadParameter."""
    instructions, levels = _parts("--score", text)
    return decisions_pb2.Question(instructions=instructions, score=decisions_pb2.Scale(levels=levels))


def _parts(option: str, text: str) -> tuple[str, list[decisions_pb2.Option]]:
    instructions, *given = (part.strip() for part in text.split(_SEPARATOR))
    if not given:
        problem = f"{text!r} has no answers; write them behind the question: 'Which team?|billing|shipping'"
        raise click.BadParameter(problem, param_hint=option)
    parts = (one.partition(_RIGHT_WHEN) for one in given)
    options = [decisions_pb2.Option(value=value.strip(), description=when.strip()) for value, _, when in parts]
    return instructions, options
