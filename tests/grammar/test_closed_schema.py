import json
from typing import Any

import pytest

from llm_inference_api.grammar.closed_schema import closed
from llm_inference_api.requests.constraint import Constraint, Language
from tests.grammar.grammars import BYTES

NODE = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}},
}
INHERITED = {
    "allOf": [{"$ref": "#/$defs/base"}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}],
    "type": "object",
    "$defs": {"base": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}},
}
KINDS = {
    "type": "object",
    "properties": {"kind": {}},
    "required": ["kind"],
    "oneOf": [
        {"properties": {"kind": {"const": "x"}, "x": {"type": "integer"}}},
        {"properties": {"kind": {"const": "y"}, "y": {"type": "integer"}}},
    ],
}


@pytest.mark.parametrize(
    ("schema", "allowed", "excluded"),
    [
        ({"type": "object", "properties": {"a": {"const": 1}}}, ["{}", '{"a":1}'], ['{"b":1}', '{"a":1,"b":1}']),
        ({"type": "object", "properties": {}}, ["{}"], ['{"a":1}']),
        ({"type": "object", "properties": {"a": {}}, "required": ["b"]}, ['{"b":1}'], ["{}", '{"b":1,"c":1}']),
        ({"items": {"type": "object", "properties": {"a": {}}}, "type": "array"}, ['[{"a":1}]'], ['[{"b":1}]']),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}]}, ['{"a":1}', "null"], ['{"b":1}']),
        (NODE, ['{"next":{"next":{}}}'], ['{"next":{"b":1}}']),
        (INHERITED, ['{"a":1,"b":2}'], ['{"a":1}', '{"a":1,"b":2,"c":3}']),
        (KINDS, ['{"kind":"x","x":1}', '{"kind":"y"}'], ['{"kind":"x","x":1,"z":1}', '{"kind":"x","x":"1"}']),
    ],
)
def test_object_has_the_listed_properties_only(schema: dict[str, Any], allowed: list[str], excluded: list[str]) -> None:
    """Where nothing is said of others, none are written, also where several schemas describe the object together."""
    found = BYTES.mask(Constraint(Language.JSON_SCHEMA, json.dumps(schema), "field"))
    assert [text for text in [*allowed, *excluded] if found.matches(text)] == allowed


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "required": ["a"]},
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "patternProperties": {"^b": {}}},
        {"properties": {"a": {}}, "minProperties": 2},
        {"properties": {"a": {}}, "allOf": [{"$ref": "http://example.com/x"}]},
        {"properties": {"a": {}}, "anyOf": [{"additionalProperties": {"type": "integer"}}, {"required": ["a"]}]},
    ],
)
def test_object_stays_open_where_the_schema_says_so(schema: dict[str, Any]) -> None:
    """A schema that lists no properties, says what others there may be, or needs others, keeps its meaning."""
    assert closed(schema) == schema


def test_given_schema_is_not_changed() -> None:
    """The schema also goes into the prompt, as it was given."""
    given = json.dumps(KINDS)
    closed(KINDS)
    assert json.dumps(KINDS) == given


def test_references_that_multiply_are_counted_once() -> None:
    """Thirty schemas that refer to the next one twice describe 2^30 objects."""
    levels = {f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2, "required": ["a"]} for level in range(30)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**levels, "d30": {"properties": {"a": {}}}}}
    assert closed(schema)["$defs"]["d0"]["properties"] == {"a": True}
