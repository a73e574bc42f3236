"""Calls that the service writes in a form are read again from it."""

import json

import pytest

from llm_inference_api.requests.tools import ToolCall
from llm_inference_api.text.families.form import CallForm, Form, Pairs, Slot, Values
from llm_inference_api.text.families.writing import written
from tests.text.families.reading import answer_forms
from tests.text.families.reading.answer_forms import FORMS, MINICPM, MINIMAX_M3, read, tools

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer"},
            "c": {"type": "array"},
            "d": {"type": "boolean"},
            "e": {"type": "object"},
            "f": {"type": ["string", "null"]},
            "g": {"type": "number"},
        },
    }
)
USE = tools(f=SCHEMA, g=SCHEMA)


def reread(form: Form, *made: ToolCall) -> list[tuple[str, object]]:
    """Returns the names and arguments of the calls that are read from the calls' text."""
    found = [piece for piece in read(form, written(form.calls, made), 3, USE) if isinstance(piece, ToolCall)]
    return [(call.name, json.loads(call.arguments)) for call in found]


@pytest.mark.parametrize(
    "arguments",
    [
        {"a": "two\n'words'", "b": 4, "c": [1, "x"], "d": True},
        {"a": "", "c": [], "d": False, "e": {}},
        {"e": {"a": {"b": [1, "x"]}}, "f": None},
        {"a": '4 "é" \\ ', "g": -0.5},
        {},
    ],
)
@pytest.mark.parametrize("name", FORMS)
def test_written_calls_are_read_again(name: str, arguments: dict[str, object]) -> None:
    """In the syntax that the model knows, whatever the types of arguments."""
    form = FORMS[name]
    made = [ToolCall("abcdefghi", "f", json.dumps(arguments)), ToolCall("bcdefghij", "g", "{}")]
    made = made if form.calls.are_parallel else made[:1]
    assert reread(form, *made) == [(call.name, json.loads(call.arguments)) for call in made]


@pytest.mark.parametrize("text", ["b</param>c", '<param name="x">', "<![CDATA[x", "plain"])
def test_texts_with_markers_are_marked_where_the_form_can(text: str) -> None:
    """Others are written as they are."""
    assert reread(MINICPM, ToolCall("1", "f", json.dumps({"a": text}))) == [("f", {"a": text})]
    assert ("<![CDATA[" in written(MINICPM.calls, [ToolCall("1", "f", json.dumps({"a": text}))])) == (text != "plain")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (Values.JSON, 's="é", n=null, b=true, l=[1, "x"]'),
        (Values.TEXT, 's=é, n=null, b=true, l=[1, "x"]'),
        (Values.PYTHON, "s=\"é\", n=None, b=True, l=[1, 'x']"),
        (Values.BARE, "s=%é%, n=null, b=true, l=[1,%x%]"),
    ],
)
def test_values_are_written_in_the_forms_own_literals(values: Values, expected: str) -> None:
    """Each kind has its own for strings and constants."""
    calls = CallForm(
        (Slot.NAME, "(", Slot.ARGUMENTS, ")"), arguments=Pairs((Slot.KEY, "=", Slot.VALUE), ", ", values, "%")
    )
    arguments = '{"s": "\\u00e9", "n": null, "b": true, "l": [1, "x"]}'
    assert written(calls, [ToolCall("1", "f", arguments)]) == f"f({expected})"


def test_nested_values_are_pairs_where_the_form_has_a_key_for_items() -> None:
    """As the template writes them."""
    text = written(MINIMAX_M3.calls, [ToolCall("1", "f", '{"e": {"c": [1]}}')]).replace("]<]minimax[>[", "")
    assert "<e><c><item>1</item></c></e>" in text


@pytest.mark.parametrize("form", [answer_forms.KIMI, answer_forms.KIMI_K3])
def test_calls_are_numbered_from_the_forms_first_number(form: Form) -> None:
    """In the order of the answer."""
    text = written(form.calls, [ToolCall("1", "f", "{}"), ToolCall("2", "g", "{}")])
    first = form.calls.first_index
    marks = [f":{first}<", f":{first + 1}<"] if form is answer_forms.KIMI else [f'"{first}"', f'"{first + 1}"']
    assert all(mark in text for mark in marks)


def test_no_calls_have_no_text() -> None:
    """Not even that of a section."""
    assert written(CallForm((Slot.NAME, Slot.ARGUMENTS), opening="[", closing="]"), []) == ""
