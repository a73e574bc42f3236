"""Rewrites JSON schemas to work around inaccuracies of llguidance.

llguidance 1.9 accepts some invalid texts: the excluded integer of exclusiveMinimum or exclusiveMaximum if both bounds
have the same integer part, and 29 February in any year. The rewritten schemas exclude them.
"""

from typing import Any

_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
"""Keywords whose value is an object of schemas."""
_VALUES = frozenset({"const", "enum", "default", "examples"})
"""Keywords whose value is data, not a schema, and must not be rewritten."""
_BESIDE = 1e-9
"""Distance by which an excluded integer bound is moved."""
_MOST = 10**6
"""Largest bound that is moved: above it, `_BESIDE` comes near the spacing of float64."""

_YEAR = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_FOURTH = "(0[48]|[2468][048]|[13579][26])"
_DAY = f"^({_YEAR}-(0[13-9]|1[0-2]|02-[01]|02-2[0-8])|([0-9]{{2}}{_FOURTH}|{_FOURTH}00)-02-29)"
"""Start of a valid date, for what llguidance's `date` format does not check: leap years and year 0."""


def exact(schema: Any) -> Any:
    """Returns a rewritten copy of the schema; anything but an object or a list is returned unchanged."""
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
    """Moves an exclusive integer bound by `_BESIDE` in the direction of `sign`, if that is away from 0."""
    bound = schema.get(keyword)
    if isinstance(bound, int | float) and not isinstance(bound, bool) and 0 <= bound * sign <= _MOST and bound % 1 == 0:
        schema[keyword] = bound + sign * _BESIDE
