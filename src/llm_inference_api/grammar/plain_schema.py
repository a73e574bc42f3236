"""Writes JSON schemas in the keywords that llguidance follows, where that changes nothing of their meaning.

What restricts nothing is left out: annotations, formats that no one checks, `uniqueItems: false`.
"""

from collections.abc import Callable
from typing import Any

from llm_inference_api.grammar.schema_keywords import ANNOTATIONS, APPLIED, Schema, as_uri, mapped

_FORMATS = frozenset(
    {"date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri", "unknown"}
)
"""Formats that llguidance checks. JSON Schema makes all others annotations."""
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_LENGTHS = frozenset({"minLength", "maxLength"})


def plain(schema: Any) -> Any:
    """Returns a rewritten copy of the schema, with the same meaning; anything but an object is returned unchanged."""
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if _restricts(key, value, schema)}
    found = mapped(kept, lambda inner, _: plain(inner))
    for key in _COUNTS & found.keys():
        if isinstance(found[key], float) and found[key].is_integer():
            found[key] = int(found[key])
    for key in {"$ref", "$id"} & found.keys():
        if isinstance(found[key], str):
            found[key] = as_uri(found[key])
    _close(found, "unevaluatedProperties", "additionalProperties")
    if "prefixItems" in found or "items" not in found:
        _close(found, "unevaluatedItems", "items")
    _name(found)
    return found


def _restricts(key: str, value: Any, schema: Schema) -> bool:
    """Returns whether a keyword may restrict anything."""
    without_effect = _WITHOUT_EFFECT.get(key)
    return key not in ANNOTATIONS and not (without_effect is not None and without_effect(value, schema))


def _is_any(schema: Any) -> bool:
    return schema is True or (isinstance(schema, dict) and not schema.keys() - ANNOTATIONS)


def _is_any_text(schema: Any) -> bool:
    """Returns whether all strings are valid."""
    if not isinstance(schema, dict):
        return False
    left = {key: value for key, value in schema.items() if _restricts(key, value, schema)}
    kind = left.pop("type", "string")
    return ("string" in kind if isinstance(kind, list) else kind == "string") and left in ({}, {"minLength": 0})


def _close(schema: Schema, keyword: str, same: str) -> None:
    """Replaces `keyword` by the keyword that is the same where no schema applies to the same value."""
    if keyword in schema and same not in schema and not schema.keys() & {*APPLIED, "$ref", "dependentSchemas"}:
        schema[same] = schema.pop(keyword)


def _name(schema: Schema) -> None:
    """Writes `propertyNames` as the properties, or the pattern, that it allows."""
    names = schema.get("propertyNames")
    if not isinstance(names, dict) or "patternProperties" in schema or names.get("type", "string") != "string":
        return
    others, given = schema.get("additionalProperties", True), schema.get("properties", {})
    if not isinstance(given, dict):
        return
    left = names.keys() - {"type"}
    allowed = [names["const"]] if left == {"const"} else names.get("enum") if left == {"enum"} else None
    if isinstance(allowed, list) and all(isinstance(name, str) for name in allowed):
        schema["properties"] = {
            **{name: inner if name in allowed else False for name, inner in given.items()},
            **{name: others for name in allowed if name not in given},
        }
    elif not given and left == {"pattern"}:
        schema["patternProperties"] = {names["pattern"]: others}
    elif not given and left and left <= _LENGTHS:
        least, most = names.get("minLength", 0), names.get("maxLength", "")
        schema["patternProperties"] = {f"^[\\s\\S]{{{least},{most}}}$": others}
    else:
        return
    del schema["propertyNames"]
    schema["additionalProperties"] = False


_WITHOUT_EFFECT: dict[str, Callable[[Any, Schema], bool]] = {
    "format": lambda value, _: isinstance(value, str) and value not in _FORMATS,
    "uniqueItems": lambda value, _: value is False,
    "$id": lambda value, _: isinstance(value, str) and not value.strip("#"),  # llguidance takes it for the root's.
    "$recursiveAnchor": lambda value, _: value is False,
    "$dynamicAnchor": lambda *_: True,  # What refers to it, `$dynamicRef`, is refused.
    "unevaluatedProperties": lambda value, _: _is_any(value),
    "unevaluatedItems": lambda value, _: _is_any(value),
    "dependentRequired": lambda value, _: value == {},
    "dependentSchemas": lambda value, _: value == {},
    "dependencies": lambda value, _: value == {},
    "not": lambda value, _: value is False,
    "if": lambda _, schema: _is_any(schema.get("then", True)) and _is_any(schema.get("else", True)),
    "then": lambda value, schema: "if" not in schema or _is_any(value),
    "else": lambda value, schema: "if" not in schema or _is_any(value),
    "contains": lambda _, schema: schema.get("minContains") == 0 and "maxContains" not in schema,
    "minContains": lambda value, schema: "contains" not in schema or value == 0,
    "maxContains": lambda _, schema: "contains" not in schema,
    "propertyNames": lambda value, _: _is_any(value) or _is_any_text(value),
}
"""Whether a keyword with this value restricts nothing in this schema."""
