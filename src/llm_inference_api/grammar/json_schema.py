"""JSON schemas as llguidance is to follow them: exactly, or without keywords that are named."""

import json
from collections.abc import Callable
from typing import Any

from llguidance import LLMatcher

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.grammar.closed_schema import closed
from llm_inference_api.grammar.exact_schema import exact
from llm_inference_api.grammar.plain_schema import plain
from llm_inference_api.grammar.reasons import UNSATISFIABLE, one_line, reason
from llm_inference_api.grammar.reduced_schema import reduced
from llm_inference_api.grammar.schema_keywords import Schema, below
from llm_inference_api.grammar.unfollowable import Budget, Problem, without_unfollowable
from llm_inference_api.requests.constraint import FollowedSchema

OPTIONS: dict[str, Any] = {
    # Small models tend to write endless white space, which takes the tokens of the answer.
    "whitespace_flexible": False,
    # Without "u": a name in another spelling, such as \u0061, would pass for another name.
    "json_allowed_escapes": 'nrbtf"\\',
}
"""llguidance's options for the schema of an answer."""
ARGUMENT_OPTIONS: dict[str, Any] = {
    **OPTIONS,
    # Families teach calls with these blanks. Without them a model leaves what it has learnt: the demo calls with
    # {"city":": "} instead of {"city": "Paris"}.
    "item_separator": ", ?",
    "key_separator": ": ?",
}
"""llguidance's options for the schema of a call's arguments."""
_OTHER_TYPES = frozenset({"null", "boolean", "integer", "number", "string", "array"})


class JsonSchemas:
    """Prepares the schemas of one request."""

    def __init__(self, problem: Callable[[str, str], str]) -> None:
        """Creates a preparation.

        Args:
            problem: Returns why a grammar cannot be compiled, or an empty string. Its second argument is the name of
                the field that the grammar is of.
        """
        self._problem = problem
        self._budget = Budget()

    def whole(self, schema: Schema, field: str, *, is_object: bool) -> str:
        """Returns the grammar of a schema that is followed with all its keywords.

        Args:
            schema: The schema.
            field: Name of the request's field that has it, for errors.
            is_object: Whether the value must be an object, whatever the schema says.

        Raises:
            InvalidFieldError: A keyword cannot be followed, or no value is valid.
        """
        whole = plain(schema)
        if is_object:
            whole, problems = _of_objects(whole, field)
            _refuse(problems, field)
        found, problems = without_unfollowable(closed(whole), self._budget)
        _refuse(problems, field)
        if problem := self._problem(_grammar(found), field):
            raise self._refusal(found, problem, field)
        return _grammar(found)

    def arguments(self, schema: Schema, field: str, *, is_strict: bool) -> FollowedSchema:
        """Returns the schema of a call's arguments, which are an object.

        Args:
            schema: The schema.
            field: Name of the request's field that has it, for errors.
            is_strict: Whether keywords that cannot be followed are errors; otherwise they are left out.

        Raises:
            InvalidFieldError: No object is valid, or a keyword of a strict schema cannot be followed.
        """
        of_objects, problems = _of_objects(plain(schema), field)
        found, more = without_unfollowable(closed(of_objects), self._budget)
        problems += more
        if is_strict:
            _refuse(problems, field)
        problem = self._problem(_grammar(found), field)
        if problem and not is_strict and UNSATISFIABLE not in problem:
            found, more = reduced(found, lambda part: self._unfollowable(part, field))
            problems += more
            problem = self._problem(_grammar(found), field)
        if UNSATISFIABLE in problem:
            raise InvalidFieldError(field, f"allows no object: {one_line(problem)}")
        if problem:
            raise self._refusal(found, problem, field)
        return FollowedSchema(
            {**exact(found), "x-guidance": ARGUMENT_OPTIONS}, tuple(below(field, path) for path, _ in problems)
        )

    def _refusal(self, schema: Schema, problem: str, field: str) -> InvalidFieldError:
        """Returns the error for a schema that cannot be compiled, with the path of a keyword that keeps it so."""
        if UNSATISFIABLE not in problem:
            _, problems = reduced(schema, lambda part: self._unfollowable(part, field))
            for path, why in problems:
                return InvalidFieldError(field, f"cannot be followed: {path}: {one_line(why)}")
        return InvalidFieldError(field, reason(problem))

    def _unfollowable(self, schema: Schema, field: str) -> str:
        problem = self._problem(_grammar(schema), field)
        return "" if UNSATISFIABLE in problem else problem


def _refuse(problems: list[Problem], field: str) -> None:
    if problems:
        path, why = problems[0]
        raise InvalidFieldError(field, f"cannot be followed: {path}: {why}")


def _grammar(schema: Schema) -> str:
    # Not the object: llguidance's conversion of Python's integers ends at 2^64.
    return LLMatcher.grammar_from_json_schema(json.dumps(exact(schema)), overrides=OPTIONS)  # type: ignore[arg-type]


def _of_objects(schema: Schema, field: str) -> tuple[Schema, list[Problem]]:
    """Returns the schema with the type `object`, and its own type as a problem if that is none.

    Raises InvalidFieldError if it has other types only.
    """
    others = {key: value for key, value in schema.items() if key != "type"}
    kind = schema.get("type", "object")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds:
        return {"type": "object", **others}, []
    if kinds and all(isinstance(kind, str) and kind in _OTHER_TYPES for kind in kinds):
        problem = f"allows no object: its type is {json.dumps(kind)}"
        raise InvalidFieldError(field, problem)
    return {"type": "object", **others}, [Problem("type", "is no type of JSON Schema")]
