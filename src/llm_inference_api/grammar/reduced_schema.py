"""Leaves out of a JSON schema the keywords that keep it from being compiled, and no others."""

from collections.abc import Callable, Iterator
from typing import Any

from llm_inference_api.grammar.schema_keywords import MAPS, Schema, below, mapped
from llm_inference_api.grammar.unfollowable import Problem

_OVERLAPPING = "is not followed where a value may be valid under several of its schemas; anyOf is"
_MOST_TRIES = 200
"""Limit on the trials of references, together or alone. Those that are not tried are left out."""
_DEFINITIONS = frozenset({"$defs", "definitions"})
"""Keywords with schemas that only references make part of the others."""
_COUNTS = frozenset({"minProperties", "maxProperties"})
"""Keywords that are tried after the others: beside `properties` they are followed only if all of these are required."""
ProblemOf = Callable[[Schema], str]
"""Returns why a schema cannot be compiled; an empty string if it can, also where no value is valid under it."""


def reduced(schema: Schema, problem_of: ProblemOf) -> tuple[Schema, list[Problem]]:
    """Returns a copy of the schema without the keywords that cannot be followed, and what they are.

    Each schema inside is tried without its references first, the innermost ones before those around them; then the
    references are tried, one after the other.
    """
    reducer = _Reducer(problem_of)
    found = reducer.visit(schema, "")
    return reducer.with_references(found), reducer.problems


class _Reducer:
    def __init__(self, problem_of: ProblemOf) -> None:
        self._problem_of = problem_of
        self.problems: list[Problem] = []

    def visit(self, schema: Any, path: str) -> Any:
        """Returns a copy of the schema at a path that can be compiled, but for its references."""
        if not isinstance(schema, dict) or not (schema.keys() & _DEFINITIONS or self._problem(schema)):
            return schema
        found = mapped(self._without_malformed(schema, path), lambda inner, step: self.visit(inner, below(path, step)))
        return self._most(found, path) if self._problem(found) else found

    def with_references(self, schema: Schema) -> Schema:
        """Returns the schema without the references that cannot be followed."""
        if not self._problem_of(schema):
            return schema
        places = [path for path, _ in _references(schema, "")]
        left_out = set(places)
        tries = [places]
        for _ in range(_MOST_TRIES):
            if not tries:
                break
            some = tries.pop()
            if not self._problem_of(_without(schema, left_out - {*some})):
                left_out -= {*some}
            elif len(some) > 1:
                tries += [some[len(some) // 2 :], some[: len(some) // 2]]
        failed = [below(path, "$ref") for path in places if path in left_out]
        self.problems += [Problem(path, "leads nowhere, or in a circle") for path in failed]
        return _without(schema, left_out)

    def _problem(self, schema: Schema) -> str:
        return self._problem_of(_without(schema, None))

    def _without_malformed(self, schema: Schema, path: str) -> Schema:
        """Returns the schema without those members of its objects of schemas that are none."""
        found = dict(schema)
        for key in MAPS & schema.keys():
            if isinstance(schema[key], dict):
                found[key] = {name: inner for name, inner in schema[key].items() if isinstance(inner, dict | bool)}
                self.problems += [
                    Problem(below(path, f"{key}.{name}"), "is no schema") for name in schema[key].keys() - found[key]
                ]
        return found

    def _most(self, schema: Schema, path: str) -> Schema:
        """Returns as many of the schema's own keywords as can be followed together."""
        kept: Schema = {}
        left = dict(schema)
        reasons: dict[str, str] = {}
        added = True
        while added:
            # What could not be followed alone may be followed beside what was added since.
            added = False
            for key in sorted(left, key=_COUNTS.__contains__):
                # The schema's order is kept: properties are written in it.
                candidate = {name: value for name, value in schema.items() if name in kept or name == key}
                if reason := self._problem(candidate):
                    reasons[key] = _OVERLAPPING if key == "oneOf" and "coerce_one_of" in reason else reason
                else:
                    kept = candidate
                    del left[key]
                    added = True
        self.problems += [Problem(below(path, key), reasons[key]) for key in left]
        if "oneOf" in left and isinstance(schema["oneOf"], list):
            others = kept.get("allOf", [])
            looser = {**kept, "allOf": [*others, {"anyOf": schema["oneOf"]}]}
            return kept if self._problem(looser) else looser
        return kept


def _without(schema: Schema, places: set[str] | None, path: str = "") -> Schema:
    """Returns a copy of the schema without the references of the schemas at these paths; None: without any."""
    own = schema if places is not None and path not in places else {k: v for k, v in schema.items() if k != "$ref"}

    def change(inner: Any, step: str) -> Any:
        return _without(inner, places, below(path, step)) if isinstance(inner, dict) else inner

    return mapped(own, change)


def _references(schema: Schema, path: str) -> Iterator[tuple[str, object]]:
    """Yields the references in a schema, with the paths of the schemas that have them."""
    if "$ref" in schema:
        yield path, schema["$ref"]
    found: list[tuple[str, Schema]] = []

    def collect(inner: Any, step: str) -> None:
        if isinstance(inner, dict):
            found.append((below(path, step), inner))

    mapped(schema, collect)
    for place, inner in found:
        yield from _references(inner, place)
