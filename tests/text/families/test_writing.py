"""Calls that the service writes in a form are read again from it."""

import json

import pytest

from llm_inference_api.requests.tools import ToolCall
from llm_inference_api.text.families.form import Form, Pairs
from llm_inference_api.text.families.writing import written
from tests.text.families.reading.answer_forms import FORMS, read, tools

SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "integer"},
        "c": {"type": "array"},
        "d": {"type": "boolean"},
    },
}
ARGUMENTS = {"a": "two\n'words'", "b": 4, "c": [1, "x"], "d": True}
USE = tools(f=json.dumps(SCHEMA), g=json.dumps(SCHEMA))


def nests(form: Form) -> bool:
    """Returns whether the form writes values as pairs within pairs, which no template leaves to the service."""
    return isinstance(form.calls.arguments, Pairs) and bool(form.calls.arguments.item)


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if not nests(form)])
def test_written_calls_are_read_again(name: str) -> None:
    """In the syntax that the model knows."""
    form = FORMS[name]
    made = [ToolCall("abcdefghi", "f", json.dumps(ARGUMENTS)), ToolCall("bcdefghij", "g", "{}")]
    made = made if form.calls.are_parallel else made[:1]
    found = [piece for piece in read(form, written(form.calls, made), 3, USE) if isinstance(piece, ToolCall)]
    assert [(call.name, json.loads(call.arguments)) for call in found] == [
        (call.name, json.loads(call.arguments)) for call in made
    ]
