"""Finds how a model writes answers by what its chat template writes for chats of known words."""

from dataclasses import replace
from typing import NamedTuple

from llm_inference_api.text.families.form import GENERIC, CallForm, Form, Values
from llm_inference_api.text.families.known import known_calls, with_known
from llm_inference_api.text.families.probing.blocks import blocks_of
from llm_inference_api.text.families.probing.calls import NotFoundError, calls_of
from llm_inference_api.text.families.probing.probes import FUNCTIONS, KEYS, CostlyError, Probes, Renderer
from llm_inference_api.text.families.probing.switches import switch_of


class ShownForm(NamedTuple):
    """What a template shows."""

    form: Form
    structure: tuple[str, ...]
    """Literal texts that the template writes around what people, tools and documents say."""


def form_of(render: Renderer, source: str) -> ShownForm:
    """Returns the form of a chat template.

    Where the calls of tools are not understood, the form is generic, and its `problem` says what was seen.

    Args:
        render: Renders the template.
        source: Its source.
    """
    probes = Probes(render)
    try:
        return _shown(probes, source)
    except CostlyError as error:
        return ShownForm(replace(GENERIC, problem=str(error)), probes.structure)


def _shown(probes: Probes, source: str) -> ShownForm:
    switch = switch_of(probes, source)
    blocks = blocks_of(probes, source, switch)
    base = replace(
        GENERIC,
        thoughts=blocks.thoughts,
        contents=blocks.contents,
        between=blocks.between,
        ending=blocks.ending,
        shows_thoughts=blocks.found,
        switch=switch,
    )
    shown = probes.of(tools=True, begins=True) or ""
    shows_tools = FUNCTIONS[0] in shown and KEYS[0] in shown
    try:
        calls = calls_of(probes, blocks)
    except NotFoundError as error:
        known = known_calls(shown) if shows_tools else None
        if known is None:
            return ShownForm(replace(base, problem=str(error) if shows_tools else ""), probes.structure)
        return ShownForm(
            replace(base, name=_name(known), calls=known, is_generic=False, shows_tools=True), probes.structure
        )
    form = replace(base, name=_name(calls), calls=calls, is_generic=False, shows_tools=shows_tools, shows_calls=True)
    return ShownForm(with_known(form, source), probes.structure)


def _name(calls: CallForm) -> str:
    """Returns the name of a kind of calls."""
    if calls.arguments is None:
        return "json"
    names = {Values.TEXT: "tags", Values.JSON: "pairs", Values.PYTHON: "python", Values.BARE: "bare"}
    return names[calls.arguments.values]
