"""JSON schemas in words that llguidance follows exactly.

llguidance 1.9 allows a few texts that are not valid: an excluded integer where both bounds have its integer part, and
29 February of any year. What is said here besides forbids them.
"""

from typing import Any

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords with schemas by name."""
_VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords with values, which are no schemas whatever they look like."""
_BESIDE = 1e-9
"""How far beside an excluded integer the numbers begin."""
_MOST = 10**6
"""Above this, floating-point numbers are less dense."""

_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_FOURTH = "(0[48]|[2468][048]|[13579][26])"
_DAY = f"^({_YEAR}-(0[13-9]|1[0-2]|02-[01]|02-2[0-8])|([0-9]{{2}}{_FOURTH}|{_FOURTH}00)-02-29)"
"""How a day that exists begins, as far as the format does not see to it."""


def exact(schema: Any) -> Any:
    """Returns the schema so that llguidance allows valid texts only; what is no schema is returned as it is."""
    if isinstance(schema, list):
        return [exact(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _inner(key, value) for key, value in schema.items()}
    if found.get("format") in ("date", "date-time"):
        more = found.get("allOf", [])
        found["allOf"] = [*(more if isinstance(more, list) else [more]), {"pattern": _DAY}]
    if found.get("type") != "integer":
        _exclude(found, "exclusiveMinimum", 1)
        _exclude(found, "exclusiveMaximum", -1)
    return found


def _inner(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _MAPS and isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    return exact(value)


def _exclude(schema: dict[str, Any], keyword: str, sign: int) -> None:
    """Moves an excluded integer, from which the numbers lead away from 0, a little in that direction."""
    bound = schema.get(keyword)
    if isinstance(bound, int | float) and not isinstance(bound, bool) and 0 <= bound * sign <= _MOST and bound % 1 == 0:
        schema[keyword] = bound + sign * _BESIDE
