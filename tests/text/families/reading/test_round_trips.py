"""Calls that are written in a form are read as they were meant."""

import json
import random

import pytest

from llm_inference_api.requests.tools import ToolCall, ToolUse
from llm_inference_api.text.families.form import Form, Pairs, Slot, Values
from tests.text.families.reading.answer_forms import FORMS, read, tools, without_ids

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "on": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "box": {"type": "object", "properties": {"deep": {"type": "string"}, "n": {"type": "integer"}}},
    },
}
USE: ToolUse = tools(**dict.fromkeys(("f", "get_time", "Calendar.create"), json.dumps(SCHEMA)))
ALPHABET = " \n\t<>/{}[]()\"'\\,:=|é😀abc01"


def words(of: random.Random) -> str:
    """Returns a text of characters that markers are made of."""
    return "".join(of.choice(ALPHABET) for _ in range(of.randrange(12)))


def arguments(of: random.Random) -> dict[str, object]:
    """Returns arguments that follow the schema."""
    made: dict[str, object] = {
        "text": words(of),
        "count": of.randrange(-9, 10**12),
        "share": of.choice([0.5, -1e30, 2.25]),
        "on": of.random() < 0.5,
        "tags": [words(of) for _ in range(of.randrange(3))],
        "box": {"deep": words(of), "n": of.randrange(9)},
    }
    return {key: made[key] for key in of.sample(sorted(made), of.randrange(len(made) + 1))}


def value_of(value: object, pairs: Pairs) -> str:
    """Returns a value as the form writes it."""
    match pairs.values, value:
        case Values.PYTHON, _:
            return repr(value)
        case Values.BARE, str():
            return f"{pairs.quote}{value}{pairs.quote}"
        case Values.BARE, dict():
            return f"{{{','.join(f'{key}:{value_of(inner, pairs)}' for key, inner in value.items())}}}"
        case Values.BARE, list():
            return f"[{','.join(value_of(inner, pairs) for inner in value)}]"
        case _, dict() if pairs.item:
            return "".join(pair_of(key, inner, pairs) for key, inner in value.items())
        case _, list() if pairs.item:
            return "".join(pair_of(pairs.item, inner, pairs) for inner in value)
        case _, str():
            return f"{pairs.verbatim[0]}{value}{pairs.verbatim[1]}"
    return json.dumps(value, ensure_ascii=False)


def pair_of(key: str, value: object, pairs: Pairs) -> str:
    """Returns a pair as the form writes it."""
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    found = {
        Slot.KEY: key,
        Slot.VALUE: value_of(value, pairs),
        Slot.KIND: dict(pairs.kinds).get(kinds[type(value)], ""),
    }
    return "".join(part if isinstance(part, str) else found[part] for part in pairs.pair)


def arguments_of(given: dict[str, object], pairs: Pairs | None) -> str:
    """Returns arguments as the form writes them."""
    if pairs is None:
        return json.dumps(given)
    inner = pairs.separator.join(pair_of(key, value, pairs) for key, value in given.items())
    return f"{pairs.opening}{inner}{pairs.closing}"


def written(form: Form, calls: list[tuple[str, dict[str, object]]]) -> str:
    """Returns calls as the form writes them."""
    texts = []
    for index, (name, given) in enumerate(calls):
        places = {
            Slot.NAME: name,
            Slot.ID: f"id{index:07}",
            Slot.INDEX: str(form.calls.first_index + index),
            Slot.ARGUMENTS: arguments_of(given, form.calls.arguments),
        }
        texts.append("".join(part if isinstance(part, str) else places[part] for part in form.calls.call))
    separator = form.calls.separator or form.between
    return f"{form.calls.opening}{separator.join(texts)}{form.calls.closing}"


@pytest.mark.parametrize("name", FORMS)
def test_calls_are_read_as_they_were_written(name: str) -> None:
    """Strings may hold what markers are made of, and any white space."""
    form, of = FORMS[name], random.Random(name)
    for _ in range(40):
        calls = [(of.choice(USE.tools).name, arguments(of)) for _ in range(of.randrange(1, 4))]
        text = written(form, calls)
        for size in (1, of.randrange(2, 9), len(text)):
            found = read(form, text, size, USE)
            assert [
                (piece.name, json.loads(piece.arguments)) if isinstance(piece, ToolCall) else piece for piece in found
            ] == calls, text


@pytest.mark.parametrize("name", FORMS)
def test_nothing_is_lost_of_any_text(name: str) -> None:
    """Whatever a model writes is read the same in any pieces; the sizes of the parts are those of the text."""
    form, of = FORMS[name], random.Random(name)
    calls = [("f", {"text": "a b", "count": 3}), ("get_time", {})]
    markers = sorted({*form.markers, written(form, calls), *(f"{marker[:-1]}" for marker in form.markers), "f", "\n"})
    for _ in range(60):
        text = "".join(of.choice([of.choice(markers), words(of)]) for _ in range(of.randrange(8)))
        at_once = read(form, text, max(1, len(text)), USE)
        slowly = read(form, text, 1, USE)
        assert without_ids(at_once) == without_ids(slowly), text
