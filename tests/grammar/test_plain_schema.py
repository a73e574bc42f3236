from typing import Any

import pytest

from llm_inference_api.grammar.plain_schema import plain
from llm_inference_api.requests.constraint import Constraint, Language
from tests.grammar.grammars import BYTES


@pytest.mark.parametrize(
    "keyword",
    [
        {"format": "password"},
        {"format": "int64"},
        {"propertyNames": {"type": "string"}},
        {"propertyNames": {"type": ["string"], "minLength": 0, "title": "t"}},
        {"propertyNames": True},
        {"uniqueItems": False},
        {"$id": ""},
        {"$id": "#"},
        {"unevaluatedProperties": True},
        {"unevaluatedItems": {}},
        {"dependentRequired": {}},
        {"dependencies": {}},
        {"not": False},
        {"if": {"type": "string"}},
        {"then": {"type": "string"}},
        {"if": {"type": "string"}, "then": {}, "else": True},
        {"contains": {"const": 1}, "minContains": 0},
        {"maxContains": 3},
        {"$dynamicAnchor": "x"},
        {"default": 2**300, "examples": [float("nan")], "deprecated": True, "contentSchema": {"not": {}}},
    ],
)
def test_keyword_that_restricts_nothing_is_left_out(keyword: dict[str, Any]) -> None:
    """What a schema says without effect does not refuse it."""
    assert plain({"properties": {"a": {"type": "string", **keyword}}}) == {"properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"format": "date"},
        {"uniqueItems": True},
        {"contains": {"const": 1}, "minContains": 1},
        {"if": {"type": "string"}, "then": {"minLength": 1}},
        {"propertyNames": {"not": {"const": "a"}}},
        {"unevaluatedProperties": False, "anyOf": [{"properties": {"a": {}}}]},
        {"const": {"format": "password", "default": 1}},
        {"properties": {"format": {"const": 1}, "default": {"const": 2}}},
    ],
)
def test_keyword_that_restricts_stays(schema: dict[str, Any]) -> None:
    """Nothing that may exclude a value is left out, nor data or names that look like keywords."""
    assert plain(schema) == schema


@pytest.mark.parametrize(
    ("schema", "same"),
    [
        ({"minLength": 2.0, "maxItems": 3.0}, {"minLength": 2, "maxItems": 3}),
        ({"$ref": "#/$defs/R[int]"}, {"$ref": "#/$defs/R%5Bint%5D"}),
        ({"$ref": "#/$defs/R%5Bint%5D"}, {"$ref": "#/$defs/R%5Bint%5D"}),
        ({"$ref": "#/$defs/ü b"}, {"$ref": "#/$defs/%C3%BC%20b"}),
        ({"properties": {}, "unevaluatedProperties": False}, {"properties": {}, "additionalProperties": False}),
        (
            {"propertyNames": {"enum": ["a", "b"]}, "properties": {"a": {}}, "additionalProperties": {"const": 1}},
            {"properties": {"a": {}, "b": {"const": 1}}, "additionalProperties": False},
        ),
        (
            {"propertyNames": {"type": "string", "pattern": "^x"}, "additionalProperties": {"const": 1}},
            {"patternProperties": {"^x": {"const": 1}}, "additionalProperties": False},
        ),
    ],
)
def test_keyword_is_written_as_one_that_is_followed(schema: dict[str, Any], same: dict[str, Any]) -> None:
    """What has another form with the same meaning is written in that form."""
    assert plain(schema) == same


def test_length_of_names_is_followed() -> None:
    """Names are restricted by a pattern of their length, which counts line breaks too."""
    schema = '{"type": "object", "propertyNames": {"minLength": 2, "maxLength": 3}}'
    found = BYTES.mask(Constraint(Language.JSON_SCHEMA, schema, "field"))
    assert found.matches('{"a\\nb":1}')
    assert not found.matches('{"a":1}')
    assert not found.matches('{"abcd":1}')
