import json
from typing import Any

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.grammar.unfollowable import Budget, without_unfollowable
from llm_inference_api.requests.constraint import Constraint, Language
from tests.grammar.grammars import BYTES

HUGE = 2**256 - 1
BEYOND = 10**400
"""No float64 comes near it."""


def mask(schema: dict[str, Any]) -> TokenMask:
    return BYTES.mask(Constraint(Language.JSON_SCHEMA, json.dumps(schema), "field"))


def paths(schema: dict[str, Any]) -> list[str]:
    return [problem.path for problem in without_unfollowable(schema, Budget())[1]]


@pytest.mark.parametrize("value", [2**53, 2**53 + 2, -(2**62), 2**63 - 1024, 10**20, 1.5, 0.1])
def test_number_that_float64_holds_is_written_exactly(value: float) -> None:
    """Constants are written as they are, however large."""
    assert mask({"const": value}).matches(json.dumps(value if abs(value) < 1e17 else int(value)))


@pytest.mark.parametrize("value", [1234567890123456789, 2**53 + 1, 2**64, -(2**53) - 1, HUGE, BEYOND, float("inf")])
@pytest.mark.parametrize("keyword", ["const", "enum"])
def test_number_that_float64_does_not_hold_is_refused(value: float, keyword: str) -> None:
    """No other number is written in its place: an id would become another one."""
    schema = {keyword: value if keyword == "const" else [{"id": [value]}]}
    assert paths({"properties": {"a": schema}}) == [f"properties.a.{keyword}"]
    with pytest.raises(InvalidFieldError, match=f"^field: cannot be followed: {keyword}: has the number"):
        mask(schema)


@pytest.mark.parametrize(
    ("schema", "allowed", "excluded"),
    [
        ({"minimum": 2**53 + 1, "maximum": 2**53 + 3}, [2**53 + 2], [2**53, 2**53 + 1, 2**53 + 3, 2**53 + 4]),
        ({"exclusiveMinimum": 2**53 + 2}, [2**53 + 4], [2**53 + 2, 2**53 + 1]),
        ({"exclusiveMaximum": -(2**53) - 2}, [-(2**53) - 4], [-(2**53) - 2, -(2**53)]),
        ({"minimum": 2**62}, [2**62, 2**63 - 1024], [2**62 - 1]),
        ({"minimum": -(2**63), "maximum": 2**63 - 1}, [0, 2**62, -(2**62)], [2**63, -(2**63) - 1]),
        ({"minimum": 0, "maximum": HUGE}, [0, 2**60], [-1, HUGE + 1]),
    ],
)
def test_bound_beyond_float64_excludes_all_that_it_should(
    schema: dict[str, Any], allowed: list[int], excluded: list[int]
) -> None:
    """A bound that float64 does not hold is moved inside: numbers next to it are missing, none is too many."""
    found = mask({"type": "integer", **schema})
    assert [number for number in [*allowed, *excluded] if found.matches(str(number))] == allowed


@pytest.mark.parametrize(
    ("schema", "keywords"),
    [
        ({"type": "integer", "minimum": 2**53 + 1, "maximum": 2**53 + 1}, ["minimum", "maximum"]),
        ({"type": "integer", "minimum": 2**64}, ["minimum"]),
        ({"type": ["number", "null"], "maximum": -(2**60)}, ["maximum"]),
        ({"minimum": float("inf")}, ["minimum"]),
        ({"type": "integer", "minimum": BEYOND}, ["minimum"]),
        ({"exclusiveMaximum": -BEYOND}, ["exclusiveMaximum"]),
        ({"maximum": BEYOND}, []),
        ({"type": "integer", "minimum": 5, "maximum": 3}, []),
        ({"maximum": HUGE}, []),
    ],
)
def test_bound_that_leaves_nothing_is_refused_by_name(schema: dict[str, Any], keywords: list[str]) -> None:
    """A bound within which float64 has no number is named, unlike one that contradicts another one by itself."""
    assert paths(schema) == keywords


@pytest.mark.parametrize("keyword", ["maxLength", "minItems", "type", "required", "unknown"])
def test_number_beyond_float64_is_refused_wherever_it_stands(keyword: str) -> None:
    """llguidance reads no schema that has one."""
    assert paths({"properties": {"a": {keyword: BEYOND}}}) == [f"properties.a.{keyword}"]
    assert paths({"properties": {"a": {keyword: [BEYOND]}}}) == [f"properties.a.{keyword}"]


@pytest.mark.parametrize(
    ("schema", "keywords"),
    [
        ({"additionalProperties": {"const": 1}, "minProperties": 2}, ["minProperties"]),
        ({"patternProperties": {"^a": {}}, "additionalProperties": False, "minProperties": 2}, ["minProperties"]),
        ({"required": ["a"], "minProperties": 3}, ["minProperties"]),
        ({"required": ["a"], "minProperties": 2}, []),
        ({"minProperties": 1}, []),
    ],
)
def test_names_that_must_differ_are_refused(schema: dict[str, Any], keywords: list[str]) -> None:
    """A name may be written twice, which is one property, so that a number of them is followed where it is not free."""
    assert paths(schema) == keywords


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
        {"patternProperties": {"^a$": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
        {"properties": {"a": {"type": "integer"}}, "additionalProperties": True},
    ],
)
def test_name_has_one_spelling(schema: dict[str, Any]) -> None:
    """A property in another spelling would escape its schema."""
    found = mask({"type": "object", **schema})
    assert found.matches('{"a":1}')
    assert found.matches('{"b":"x"}')
    assert not found.matches('{"\\u0061":"x"}')


@pytest.mark.parametrize("text", ["\x01", "\x7f", "\ud800"])
def test_text_that_is_not_written_is_refused(text: str) -> None:
    """Characters that JSON writes by their number only are not written."""
    assert paths({"enum": [{text: 1}]}) == ["enum"]
    assert paths({"properties": {text: {}}}) == ["properties"]


def test_pattern_that_ends_within_an_escape_is_refused() -> None:
    """llguidance reads it without its last character."""
    assert paths({"properties": {"a": {"pattern": "a\\"}}}) == ["properties.a.pattern"]
    assert paths({"patternProperties": {"a\\": {}}}) == ["patternProperties"]
    assert paths({"pattern": "a\\\\"}) == []


@pytest.mark.parametrize("uri", ["http://example.com/schema", "http://json-schema.org/schema#"])
def test_unknown_dialect_is_refused(uri: str) -> None:
    """Nothing is known of what keywords mean there."""
    assert paths({"$schema": uri, "type": "null"}) == ["$schema"]
    assert paths({"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}) == []


@pytest.mark.parametrize(
    ("reference", "is_followed"),
    [
        ("#", True),
        ("#/$defs/a%20b", True),
        ("#/items/0", True),
        ("#name", True),
        ("#/$defs/x", False),
        ("x", False),
        ("http://example.com/x", False),
    ],
)
def test_reference_to_what_is_not_there_is_refused(reference: str, *, is_followed: bool) -> None:
    """No other document is fetched; a reference into this one must lead somewhere."""
    schema = {"properties": {"a": {"$ref": reference}}, "$defs": {"a b": {}, "n": {"$anchor": "name"}}, "items": [{}]}
    assert paths(schema) == ([] if is_followed else ["properties.a.$ref"])


def test_budget_is_one_for_all_schemas() -> None:
    """What costs time that is not limited otherwise is limited for a request's schemas together."""
    budget = Budget()
    for expected in ([], ["multipleOf"]):
        assert [found.path for found in without_unfollowable({"multipleOf": 6000}, budget)[1]] == expected
