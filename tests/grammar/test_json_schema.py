import contextlib
import json
from typing import Any

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.requests.constraint import ArgumentSchema, Constraint, FollowedSchema, Language
from tests.grammar.grammars import BYTES

DECIMAL = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"
"""What pydantic writes for a Decimal; it looks ahead."""


def followed(schema: dict[str, Any], *, is_strict: bool = False) -> FollowedSchema:
    (found,) = BYTES.arguments([ArgumentSchema(json.dumps(schema), "tools[0].parameters", is_strict)])
    return found


def mask(schema: dict[str, Any]) -> TokenMask:
    return BYTES.mask(Constraint(Language.LARK, f"start: %json {json.dumps(followed(schema).schema)}", "tools"))


def ignored(schema: dict[str, Any]) -> list[str]:
    return [name.removeprefix("tools[0].parameters.") for name in followed(schema).ignored]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"a": {"type": "integer"}}},
        {"title": "t"},
        {"type": ["object", "null"]},
        {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"a": {}}}]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": ["string", "object"]}}},
        {"enum": [{"a": 1}, 5, {}]},
        {"not": {"const": 5}},
        {"if": {"type": "string"}, "then": {"minLength": 1}},
    ],
)
def test_arguments_are_an_object(schema: dict[str, Any]) -> None:
    """Whatever else a schema allows, a call's arguments are an object."""
    found = mask(schema)
    assert found.matches("{}")
    assert not any(found.matches(text) for text in ("-50", '"a"', "null", "5", "[]"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": ["array", "null"]},
        {"enum": [1, "a"]},
        {"anyOf": [{"type": "string"}, {"type": "array"}]},
        {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "minimum": 5, "maximum": 3}}},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
    ],
)
def test_schema_without_objects_is_refused(schema: dict[str, Any]) -> None:
    """No arguments are valid under it; the error names the field that has it."""
    with pytest.raises(InvalidFieldError, match=r"^tools\[0\].parameters: allows no object"):
        followed(schema)


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        ({"a": {"type": "string", "pattern": DECIMAL}}, "properties.a.pattern"),
        ({"a": {"$ref": "http://example.com/x"}}, "properties.a.$ref"),
        ({"a": {"type": "text"}}, "properties.a.type"),
        ({"a": {"type": "integer", "minimum": "5"}}, "properties.a.minimum"),
        ({"a": 5}, "properties.a"),
        ({"a": {"items": {"not": {"const": 1}}}}, "properties.a.items.not"),
        ({"a": {"enum": [2**64]}}, "properties.a.enum"),
        ({"a": {"multipleOf": 1e9}}, "properties.a.multipleOf"),
        ({"a": {"type": "object", "minProperties": 2}}, "properties.a.minProperties"),
    ],
)
def test_only_the_keyword_that_cannot_be_followed_is_left_out(bad: dict[str, Any], name: str) -> None:
    """All others hold, and the answer says which one does not."""
    schema = {
        "type": "object",
        "properties": {**bad, "b": {"enum": ["x"]}},
        "required": ["b"],
        "additionalProperties": False,
    }
    assert ignored(schema) == [name]
    found = mask(schema)
    assert found.matches('{"b":"x"}')
    assert not any(found.matches(text) for text in ("{}", '{"b":3}', '{"b":"x","c":1}'))
    with pytest.raises(InvalidFieldError):
        followed(schema, is_strict=True)


@pytest.mark.parametrize("junk", [float("inf"), "\ud800", [float("inf")], {"\ud800": {}}, {"a": float("-inf")}])
@pytest.mark.parametrize(
    "keyword",
    ["minimum", "maxLength", "multipleOf", "pattern", "$ref", "$id", "required", "properties", "items", "else"],
)
def test_what_is_no_json_is_left_out_or_refused(keyword: str, junk: object) -> None:
    """Numbers without end, and halves of characters, are faults of the schema wherever they stand."""
    schema = {"type": "object", "properties": {"a": {keyword: junk}, "b": {"const": 1}}}
    assert not mask(schema).matches('{"b":2}')
    given = Constraint(Language.JSON_SCHEMA, json.dumps(schema), "field")
    with contextlib.suppress(InvalidFieldError):
        BYTES.mask(given)


def test_broken_definition_loses_its_keyword_only() -> None:
    """A definition that several properties refer to is mended where it stands."""
    schema = {
        "properties": {"a": {"$ref": "#/$defs/d"}, "b": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"type": "string", "pattern": DECIMAL, "maxLength": 2}},
    }
    assert ignored(schema) == ["$defs.d.pattern"]
    assert not mask(schema).matches('{"a":"xxx"}')


def test_references_that_cannot_be_followed_are_found_together() -> None:
    """Many of them are tried by halves: the others stay."""
    circle = {"$ref": "#/$defs/circle", "required": ["x"]}
    good = {f"g{n}": {"$ref": "#/$defs/good"} for n in range(60)}
    schema = {
        "properties": {**good, "bad": {"$ref": "#/$defs/circle"}},
        "$defs": {"good": {"const": 1}, "circle": circle},
    }
    assert ignored(schema) == ["$defs.circle.$ref"]
    assert not mask(schema).matches('{"g59":2}')


def test_dialect_that_is_unknown_is_left_out() -> None:
    """The rest is read as the newest draft."""
    schema = {"$schema": "http://example.com/s", "properties": {"a": {"const": 1}}, "required": ["a"]}
    assert ignored(schema) == ["$schema"]
    assert not mask(schema).matches("{}")


def test_choice_of_one_becomes_a_choice() -> None:
    """`oneOf` of schemas that overlap is followed as `anyOf`, which is most of it."""
    schema = {"properties": {"a": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}}
    assert ignored(schema) == ["properties.a.oneOf"]
    assert not mask(schema).matches('{"a":"x"}')


def test_keywords_that_need_each_other_stay() -> None:
    """Where a keyword is only followed beside another one, both are tried together."""
    schema = {"minProperties": 1, "properties": {"a": {}}, "required": ["a"], "not": {"const": {}}}
    assert ignored(schema) == ["not"]
    assert not mask(schema).matches("{}")


@pytest.mark.parametrize(
    "names", [{"properties": {"a": {"const": 1}, "b": {}}}, {"propertyNames": {"enum": ["a", "b"]}}], ids=["own", "any"]
)
def test_number_of_properties_yields_to_the_properties(names: dict[str, Any]) -> None:
    """Wherever it stands: what is left of the schema says more than a number does."""
    schema = {"minProperties": 2, "type": "object", **names}
    assert ignored(schema) == ["minProperties"]
    assert not mask(schema).matches('{"c":1}')


def test_brackets_in_a_reference_are_followed() -> None:
    """pydantic names generic models so; a URI has no brackets."""
    schema = {"properties": {"a": {"$ref": "#/$defs/R[int]"}}, "$defs": {"R[int]": {"enum": [1, 2]}}}
    assert ignored(schema) == []
    assert not mask(schema).matches('{"a":3}')


@pytest.mark.parametrize("text", ['{"a":1,"b":2}', '{"a": 1, "b": 2}', '{"a": 1,"b":2}'])
def test_arguments_may_have_one_blank(text: str) -> None:
    """Models are taught calls with a blank after `:` and `,`; more of it, or line breaks, could go on without end."""
    found = mask({"properties": {"a": {}, "b": {}}})
    assert found.matches(text)
    assert not any(found.matches(other) for other in (text.replace(":", ":  "), text.replace(",", ",\n"), f"{text} "))


def test_json_object_with_a_schema_is_an_object() -> None:
    """A request for an object gets one, whatever its schema allows besides."""
    given = Constraint(Language.JSON_SCHEMA, '{"minimum": 3}', "response_format", is_object=True)
    assert BYTES.mask(given).matches("{}")
    assert not BYTES.mask(given).matches("3")
