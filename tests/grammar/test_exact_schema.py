import json
from typing import Any

import pytest

from llm_inference_api.grammar.exact_schema import exact
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.requests.constraint import Constraint, Language
from tests.grammar.grammars import BYTES


def mask(schema: dict[str, Any]) -> TokenMask:
    return BYTES.mask(Constraint(Language.JSON_SCHEMA, json.dumps(schema), "field"))


@pytest.mark.parametrize(
    ("schema", "allowed", "excluded"),
    [
        ({"exclusiveMinimum": 2, "exclusiveMaximum": 2.5}, ["2.1", "2.01", "2.4999"], ["2", "2.0", "2.5"]),
        ({"exclusiveMinimum": -2.5, "exclusiveMaximum": -2.0}, ["-2.1", "-2.4"], ["-2", "-2.0", "-2.5"]),
        ({"exclusiveMinimum": 0, "maximum": 0.5}, ["0.1", "0.5"], ["0", "0.0", "-0"]),
        ({"exclusiveMinimum": 10, "minimum": 10}, ["10.5", "11"], ["10", "9"]),
        ({"exclusiveMinimum": 10, "minimum": 12}, ["12", "13"], ["11"]),
        ({"exclusiveMaximum": 1, "type": ["integer", "null"]}, ["0", "-5", "null"], ["1", "2"]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 3, "type": "integer"}, ["2"], ["1", "3"]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 3, "multipleOf": 0.5}, ["1.5", "2", "2.5"], ["1", "1.0", "3"]),
    ],
)
def test_excluded_bound_is_excluded(schema: dict[str, Any], allowed: list[str], excluded: list[str]) -> None:
    """A number that a bound excludes is not written, however it is spelt; those beside it are."""
    found = mask({"type": "number", **schema})
    assert [text for text in [*allowed, *excluded] if found.matches(text)] == allowed


@pytest.mark.parametrize("form", ["{}", "{}T00:00:00Z"])
def test_date_exists(form: str) -> None:
    """A date is a day of the calendar: 29 February only in leap years, and no year 0."""
    found = mask({"type": "string", "format": "date" if form == "{}" else "date-time", "maxLength": 30})
    good = ["2023-02-28", "2024-02-29", "2000-02-29", "1999-12-31", "0004-02-29", "2023-04-30", "2023-10-02"]
    bad = ["2023-02-29", "1900-02-29", "0000-01-01", "2023-02-30", "2023-04-31", "0000-02-29", "2023-00-10"]
    assert [text for text in [*good, *bad] if found.matches(json.dumps(form.format(text)))] == good


def test_pattern_beside_a_format_still_holds() -> None:
    """What a schema says of its dates besides is not lost."""
    schema = {"type": "string", "format": "date", "pattern": "^2024", "allOf": [{"pattern": "-29$"}]}
    found = mask(schema)
    texts = ['"2024-02-29"', '"2023-01-29"', '"2024-02-28"']
    assert [text for text in texts if found.matches(text)] == texts[:1]


def test_values_stay_as_they_are() -> None:
    """What looks like a keyword inside a value, or is a property's name, is none."""
    value = {"exclusiveMinimum": 5, "format": "date"}
    schema = {
        "enum": [value],
        "properties": {"format": {"const": value}, "exclusiveMinimum": {"type": "null"}},
        "required": ["format"],
    }
    assert exact(schema) == schema
