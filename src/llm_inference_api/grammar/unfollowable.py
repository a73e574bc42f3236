"""Finds keywords of JSON schemas that llguidance would follow inexactly, or not at all, and what it says of neither.

llguidance computes with float64: of numbers beyond 2^53 it follows those that a float64 holds. It does not remember the
names that an object has already.
"""

import json
import math
from decimal import Decimal
from typing import Any, NamedTuple, TypeGuard

from llm_inference_api.grammar.schema_keywords import VALUES, Schema, below, inside, mapped, resolved

_LOWER = frozenset({"minimum", "exclusiveMinimum"})
_BOUNDS = _LOWER | {"maximum", "exclusiveMaximum"}
_EXACT = 2**53
"""All integers up to this are exact in float64."""
_LARGEST_INTEGER = 2**63 - 1024
"""Largest integer that both int64 and float64 hold."""
_ENDLESS = 10**17
"""llguidance follows no larger bound without one on the other side."""
_WITHOUT_ESCAPE = frozenset("\b\f\n\r\t")
"""Control characters that JSON can write without their number."""
LARGEST_MULTIPLE = 10_000
"""Limit on the sum of all `multipleOf` in a constraint. Each becomes an automaton with that many states, which
uses none of llguidance's fuel."""
MOST_PATTERNS = 50
"""Limit on the number of `patternProperties` in a constraint. llguidance compares them pairwise, without using fuel."""
_DIALECTS = frozenset(
    {
        f"{scheme}://json-schema.org/{name}schema"
        for scheme in ("http", "https")
        for name in ("draft-03/", "draft-04/", "draft-06/", "draft-07/", "draft/2019-09/", "draft/2020-12/")
    }
)
"""Values of `$schema` that llguidance knows, without `#` at their end."""


class Problem(NamedTuple):
    """A keyword that cannot be followed."""

    path: str
    """Path of the keyword in its schema, such as `properties.a.pattern`."""
    reason: str


class Budget:
    """What the schemas of a request may have together, because it costs time that llguidance does not limit."""

    def __init__(self) -> None:
        self._multiples = 0
        self._patterns = 0

    def takes_multiple(self, number: object) -> bool:
        """Returns whether a `multipleOf` is within the budget, and counts it if so."""
        states = states_of_multiple(str(number))
        is_within = self._multiples + states <= LARGEST_MULTIPLE
        self._multiples += states if is_within else 0
        return is_within

    def takes_patterns(self, count: int) -> bool:
        """Returns whether so many `patternProperties` are within the budget, and counts them if so."""
        is_within = self._patterns + count <= MOST_PATTERNS
        self._patterns += count if is_within else 0
        return is_within


def without_unfollowable(schema: Schema, budget: Budget) -> tuple[Schema, list[Problem]]:
    """Returns a copy of the schema without the keywords that cannot be followed, and what they are."""
    finder = _Finder(budget, schema)
    return finder.visit(schema, ""), finder.problems


class _Finder:
    def __init__(self, budget: Budget, root: Schema) -> None:
        self.problems: list[Problem] = []
        self._budget = budget
        self._root = root
        self._has_ids = _has(root, "$id")

    def visit(self, schema: Any, path: str) -> Any:
        """Returns a copy of the schema at a path, without what cannot be followed."""
        if not isinstance(schema, dict):
            return schema
        found = mapped(schema, lambda inner, step: self.visit(inner, below(path, step)))
        _tighten(found)
        if _is_empty(found) and not _is_empty(schema):
            for key in _BOUNDS & found.keys():
                del found[key]
            self.problems += [
                Problem(below(path, key), "no number that a float64 holds is within the bounds")
                for key in schema
                if key in _BOUNDS
            ]
        for key in schema:
            if key in found and (reason := self._problem(key, found[key], found)):
                self.problems.append(Problem(below(path, key), reason))
                del found[key]
        return found

    def _problem(self, key: str, value: Any, schema: Schema) -> str:
        """Returns why a keyword cannot be followed; an empty string if nothing is known against it."""
        if key in VALUES:
            return _problem_of_value(value)
        members = list(value.items()) if isinstance(value, dict) else [(key, value)]
        if not _is_json([(name, None if isinstance(inner, dict) else inner) for name, inner in members]):
            return "has a lone surrogate, or a number that a float64 does not hold"
        if key in _BOUNDS:
            return _problem_of_bound(key, value, schema)
        if key == "multipleOf" and not self._budget.takes_multiple(value):
            return f"all multipleOf add up to more than {LARGEST_MULTIPLE}"
        if key in ("pattern", "patternProperties"):
            return self._problem_of_patterns(value)
        if key == "$ref" and isinstance(value, str) and not self._has_ids:
            return _problem_of_reference(value, self._root)
        if key == "minProperties":
            return _problem_of_count(value, schema)
        if key == "$schema" and isinstance(value, str) and value.rstrip("#") not in _DIALECTS:
            return "is none of JSON Schema's own drafts"
        if key == "properties" and isinstance(value, dict):
            return _problem_of_value([*value])
        return ""

    def _problem_of_patterns(self, value: Any) -> str:
        """Returns why a pattern, or an object's, cannot be followed."""
        patterns = [*value] if isinstance(value, dict) else [value]
        if any(isinstance(pattern, str) and ends_with_escape(pattern) for pattern in patterns):
            return "ends with a backslash that escapes nothing"
        is_within = not isinstance(value, dict) or self._budget.takes_patterns(len(value))
        return "" if is_within else f"there are more than {MOST_PATTERNS} patternProperties"


def ends_with_escape(pattern: str) -> bool:
    """Returns whether a regular expression ends with a backslash that escapes nothing; llguidance leaves it out."""
    return (len(pattern) - len(pattern.rstrip("\\"))) % 2 == 1


def _has(schema: Any, key: str) -> bool:
    return isinstance(schema, dict) and (key in schema or any(_has(inner, key) for inner in inside(schema)))


def _problem_of_reference(reference: str, root: Schema) -> str:
    """Returns why a reference in a document without `$id` leads nowhere; an empty string if it may lead somewhere."""
    if not reference.startswith("#"):
        return "refers to another document"
    is_place = reference[1:2] in ("", "/")
    return f"refers to {reference[:50]}, which is not there" if is_place and resolved(root, reference) is None else ""


def states_of_multiple(number: str) -> int:
    """Returns the number of states of an automaton that accepts the multiples of a decimal number."""
    try:
        value = abs(Decimal(number)).normalize()
        digits = value.scaleb(-min(0, int(value.as_tuple().exponent)))
        return int(min(digits, Decimal(2 * LARGEST_MULTIPLE)))
    except (ArithmeticError, ValueError):
        return 0  # llguidance reports the error.


def _tighten(schema: Schema) -> None:
    """Moves bounds to numbers that llguidance follows, towards the inside, so that all it allows is valid."""
    if _is_of_integers(schema):
        _tighten_integer(schema, "minimum", "exclusiveMinimum", 1)
        _tighten_integer(schema, "maximum", "exclusiveMaximum", -1)
        _end(schema, "minimum", "maximum", 1)
        _end(schema, "maximum", "minimum", -1)
        return
    for keyword in _BOUNDS & schema.keys():
        sign = 1 if keyword in _LOWER else -1
        if _is_number(schema[keyword]) and sign * schema[keyword] < -_EXACT:
            schema[keyword] = -sign * _EXACT


def _is_of_integers(schema: Schema) -> bool:
    kinds = schema.get("type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return "integer" in kinds and "number" not in kinds


def _tighten_integer(schema: Schema, keyword: str, excluding: str, sign: int) -> None:
    """Tightens a lower bound, or with a `sign` of -1 an upper one."""
    for name, beside in ((keyword, 0), (excluding, 1)):
        bound = schema.get(name)
        if not _is_finite(bound) or abs(bound) <= _EXACT:
            continue
        least = max(math.ceil(sign * bound) if not beside else math.floor(sign * bound) + 1, -_LARGEST_INTEGER)
        if least > _LARGEST_INTEGER:
            continue  # Not followed at all; see `_problem_of_bound`.
        held = float(least)
        held = held if held >= least else math.nextafter(held, math.inf)
        del schema[name]
        other = schema.get(keyword)
        schema[keyword] = sign * (max(int(held), math.ceil(sign * other)) if _is_finite(other) else int(held))


def _end(schema: Schema, keyword: str, other: str, sign: int) -> None:
    bound = schema.get(keyword)
    if _is_finite(bound) and _ENDLESS < sign * bound <= _LARGEST_INTEGER:
        schema.setdefault(other, sign * _LARGEST_INTEGER)


def _is_empty(schema: Schema) -> bool:
    """Returns whether no number is within the bounds of a schema of integers."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if not _is_of_integers(schema) or schema.keys() & {"exclusiveMinimum", "exclusiveMaximum"}:
        return False
    return _is_finite(least) and _is_finite(most) and math.ceil(least) > math.floor(most)


def _problem_of_bound(key: str, value: Any, schema: Schema) -> str:
    if not _is_number(value):
        return ""
    most = _LARGEST_INTEGER if _is_of_integers(schema) else _EXACT
    if not _is_finite(value) or value * (1 if key in _LOWER else -1) > most:
        return f"is beyond {most}"
    return ""


def _problem_of_count(value: Any, schema: Schema) -> str:
    required = schema.get("required")
    names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    is_open = schema.get("additionalProperties") is not False or bool(schema.get("patternProperties"))
    if is_open and _is_number(value) and value > len(names) + 1:
        return "needs names that differ, which is only followed for those that are required, and one more"
    return ""


def _problem_of_value(value: Any) -> str:
    """Returns why llguidance would not write a value; an empty string if it would."""
    if isinstance(value, str):
        is_writable = _is_json(value) and not _needs_number(value)
        return "" if is_writable else f"has a character that cannot be written: {ascii(value)[:50]}"
    if _is_number(value):
        return "" if _is_exact(value) else f"has the number {str(value)[:50]}, which a float64 does not hold"
    items = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return next(filter(None, map(_problem_of_value, items)), "")


def _needs_number(text: str) -> bool:
    return any((character < " " and character not in _WITHOUT_ESCAPE) or character == "\x7f" for character in text)


def _is_json(value: Any) -> bool:
    """Returns whether a value can be written as JSON that others read.

    Python reads lone surrogates, which JSON can escape, but no text has, takes 1e999 for an infinity, and has integers
    of any size; llguidance reads no number beyond float64.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        json.loads(text, parse_int=_within_float64)
    except ValueError:  # UnicodeEncodeError too.
        return False
    return True


def _within_float64(digits: str) -> float:
    """Returns the number. Raises ValueError for one that is beyond float64."""
    if math.isinf(number := float(digits)):
        raise ValueError(digits)
    return number


def _is_exact(value: float) -> bool:
    """Returns whether llguidance writes the number: as an int64 of a float64, or in the fewest digits of a float64."""
    try:
        held = float(value)
    except OverflowError:
        return False
    if isinstance(value, float):
        return math.isfinite(value)
    return held == value and (abs(value) < 2**63 or Decimal(repr(held)) == value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: Any) -> TypeGuard[float]:
    # An integer may be too large to become the float that `math.isfinite` looks at.
    return _is_number(value) and (isinstance(value, int) or math.isfinite(value))
