"""Finds how a model writes answers by what its chat template writes for chats of known words."""

from dataclasses import replace
from typing import NamedTuple

from llm_inference_api.text.families.call_probing import NotFoundError, calls_of
from llm_inference_api.text.families.form import GENERIC, Form, Values
from llm_inference_api.text.families.known import known_form
from llm_inference_api.text.families.probes import FUNCTIONS, KEYS, Probes, Render
from llm_inference_api.text.families.thought_probing import thinking_of


class Found(NamedTuple):
    """What a template shows."""

    form: Form
    structure: tuple[str, ...]
    """Literal texts that the template writes around what people, tools and documents say."""


def form_of(render: Render, source: str) -> Found:
    """Returns the form of a chat template.

    Where the calls of tools are not understood, the form is generic, and its `problem` says what was seen.

    Args:
        render: Renders the template.
        source: Its source.
    """
    probes = Probes(render)
    thinking = thinking_of(probes, source)
    parts = {"thoughts": thinking.thoughts, "contents": thinking.contents, "switch": thinking.switch}
    known = known_form(source)
    if known is not None:
        _show_calls(probes)
        return Found(replace(known, switch=thinking.switch), probes.structure)
    shown = probes.of(tools=True, begins=True)
    if shown is None or FUNCTIONS[0] not in shown or KEYS[0] not in shown:
        return Found(replace(GENERIC, **parts), probes.structure)
    try:
        calls = calls_of(probes)
    except NotFoundError as error:
        return Found(replace(GENERIC, problem=str(error), **parts), probes.structure)
    return Found(Form(_name(calls.arguments and calls.arguments.values), calls, **parts), probes.structure)


def _show_calls(probes: Probes) -> None:
    """Lets the template write calls, for the texts around them."""


def _name(values: Values | None) -> str:
    """Returns the name of a kind of calls."""
    names = {None: "json", Values.TEXT: "tags", Values.JSON: "pairs", Values.PYTHON: "python", Values.BARE: "bare"}
    return names[values]
