from collections.abc import Mapping, Sequence

import pytest

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.probing.probes import CONTENT, USER, CostlyError, Probes, RefusedError, says


class Template:
    """Writes the contents of a chat, and what it is told, between marks."""

    def __init__(self) -> None:
        self.rendered = 0

    def __call__(
        self, messages: Sequence[Message], tools: Sequence[Tool], variables: Mapping[str, object], *, begins: bool
    ) -> str:
        self.rendered += 1
        if variables.get("costs"):
            raise CostlyError("too long")
        if variables.get("refuses"):
            raise RefusedError("no")
        said = "".join(f"<{message.role}>{message.content}" for message in messages)
        return f"{len(tools)}{said}{'<begin>' if begins else ''}"


def test_each_chat_is_rendered_once() -> None:
    """Whatever is found from it."""
    template = Template()
    probes = Probes(template)
    texts = [
        probes.of(says(CONTENT), tools=tools, begins=begins) for tools in (False, True) for begins in (True, False)
    ]
    assert texts == [
        probes.of(says(CONTENT), tools=tools, begins=begins) for tools in (False, True) for begins in (True, False)
    ]
    assert template.rendered == len({*texts}) == 4


def test_chat_that_is_told_nothing_is_another_one_than_one_without_a_word() -> None:
    """Templates that are told nothing get what they have by default."""
    template = Template()
    probes = Probes(template)
    probes.of(), probes.of(variables={}), probes.of(variables={"x": 1})
    assert template.rendered == 3


def test_refused_chat_has_no_text() -> None:
    """Other chats may have."""
    probes = Probes(Template())
    assert probes.of(variables={"refuses": True}) is None
    assert probes.of() == f"0<user>{USER}"


def test_cost_ends_the_probing() -> None:
    """It is no refusal."""
    with pytest.raises(CostlyError, match="too long"):
        Probes(Template()).of(variables={"costs": True})


def test_structure_is_what_stands_between_the_words() -> None:
    """Each text once, without white space alone."""
    probes = Probes(Template())
    probes.of(says(CONTENT), begins=True)
    probes.of(says(CONTENT))
    assert probes.structure == ("0<user>", "<assistant>", "<begin>")
