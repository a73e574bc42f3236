"""What templates do not show of their models."""

import pytest

from llm_inference_api.text.families.form import MarkedBlock, Slot
from tests.text.families.probing.templates import JSON, PAIRS, TEXT, answering, calling, form

NAME, ARGUMENTS = Slot.NAME, Slot.ARGUMENTS
JSON_CALL = ('{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}")


@pytest.mark.parametrize(
    ("marker", "name", "opening", "text"),
    [
        ("<|tool_list_start|>", "python", "<|tool_call_start|>[", "("),
        ("List of tools: [", "python", "<|tool_call_start|>[", "("),
        ("<|tool_call|>", "json", "<|tool_call|>[", JSON_CALL[0]),
        ("<tool_call>", "json", "", "<tool_call>\n"),
    ],
)
def test_calls_that_a_template_asks_for_are_known_by_its_words(marker: str, name: str, opening: str, text: str) -> None:
    """They stand beside the tools; the calls of earlier answers are written by the service."""
    shown = form(answering("{{ m.content }}", tools=f"{{% if tools %}}{marker}{{{{ tools | tojson }}}}{{% endif %}}"))
    assert (shown.name, shown.is_generic, shown.shows_tools, shown.shows_calls) == (name, False, True, False)
    assert (shown.calls.opening, shown.problem) == (opening, "")
    assert text in shown.calls.call


def test_marker_of_a_template_without_tools_is_no_syntax() -> None:
    """Tools that it does not describe are the service's to describe."""
    shown = form(answering("{{ m.content }}", tools="<tool_call>"))
    assert (shown.is_generic, shown.shows_tools, shown.problem) == (True, False, "")


def test_tools_without_any_known_call_are_described_by_the_service() -> None:
    """What was seen goes into the log."""
    shown = form(answering("{{ m.content }}"))
    assert (shown.is_generic, shown.shows_tools) == (True, False)
    assert "without its name or arguments" in shown.problem


HARMONY = """{% macro thought(m) %}{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}
{%- raw %}<|end|>{% endraw %}{% endif %}{% endmacro %}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- for m in messages %}{% if m.role == 'assistant' %}{{ thought(m) }}{% if m.tool_calls %}
{%- set c = m.tool_calls[0] %}<|start|>assistant to=functions.{{ c.function.name }}<|channel|>commentary json
{%- raw %}<|message|>{% endraw %}{{ c.function.arguments | tojson }}<|call|>
{%- else %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}
{%- else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""


def test_harmony_has_channels_and_recipients_that_its_template_does_not_write() -> None:
    """https://cookbook.openai.com/articles/openai-harmony: preambles, restricted content, calls from the analysis."""
    shown = form(HARMONY)
    assert (shown.name, shown.between) == ("harmony", "<|start|>assistant")
    assert shown.thoughts == (MarkedBlock("<|channel|>analysis<|message|>", "<|end|>"),)
    assert [block.opening for block in shown.contents] == [
        "<|channel|>final<|message|>",
        "<|channel|>commentary<|message|>",
        "<|channel|>final <|constrain|>json<|message|>",
    ]
    assert shown.asides is not None
    assert "<|channel|>analysis to=" in shown.asides.openings
    patterns = [shown.calls.call, *shown.calls.others]
    call = ("<|channel|>commentary to=functions.", NAME, " <|constrain|>json<|message|>", ARGUMENTS, "<|call|>")
    assert patterns[0] == call
    assert (" to=functions.", NAME, "<|channel|>analysis<|message|>", ARGUMENTS, "<|call|>") in patterns


def test_python_tag_may_stand_before_a_call() -> None:
    """Llama 3 writes it, or not; its template has it in the source alone."""
    calls = form("{# <|python_tag|> #}" + calling(f"{JSON}}}", separator="; ")).calls
    assert (calls.call, calls.others) == (JSON_CALL, (("<|python_tag|>", *JSON_CALL),))


def test_values_may_stand_in_sections_of_characters() -> None:
    """Where the template knows them."""
    call = f"<c {{{{ c.function.name }}}}>{PAIRS}<p {{{{ k }}}}>{TEXT}</p>{{% endfor %}}</c>"
    pairs = form("{# <![CDATA[ #}" + calling(call)).calls.arguments
    assert pairs is not None
    assert pairs.verbatim == ("<![CDATA[", "]]>")
