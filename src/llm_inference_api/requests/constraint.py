"""Constraints for structured output."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_object import MAX_BYTES, check_object

MAX_TEXTS = 1000
"""Maximum number of texts of a choice constraint."""
_OBJECT = '{"type": "object"}'


class ArgumentSchema(NamedTuple):
    """JSON Schema of a tool's arguments."""

    source: str
    field: str
    """Name of the request's field that has the schema, for error messages."""
    is_strict: bool
    """Whether keywords that cannot be followed are errors."""


ArgumentSchemas = Sequence[ArgumentSchema]


class FollowedSchema(NamedTuple):
    """A JSON Schema for use inside a grammar."""

    schema: dict[str, Any]
    ignored: tuple[str, ...]
    """Names of the request's keywords that it does not follow."""


class Language(Enum):
    """Language of a constraint's source."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    """A JSON array of the allowed texts."""
    LARK = "lark"
    GBNF = "gbnf"
    """llama.cpp's grammars."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar that the whole text of an answer must match."""

    language: Language
    source: str
    field: str
    """Name of the request's field that set the constraint, for error messages."""
    frame: str = ""
    """Lark grammar of the whole text, in which `@answer` is the constrained text; empty: nothing is around that."""
    words: "Constraint | None" = None
    """The constraint that `@words` refers to in Lark rules."""
    ignored: tuple[str, ...] = ()
    """Names of keywords of the tools' schemas that the constraint does not follow."""
    has_calls: bool = False
    """Whether it is the constraint of an answer that may call tools, with the markers of its blocks."""
    behind: str = ""
    """Lark grammar that `@behind` refers to in the frame: the constrained text behind any other; empty where `@answer`
    may follow text as it is."""
    closing: str | None = None
    """Lark terminals after the last call of an answer that consists of calls, and ends where one is repeated; None: any
    other answer."""
    varying: tuple[str, ...] = ()
    """Regular expressions of what differs between two equal calls, such as their ids or what stands between."""
    is_object: bool = False
    """Whether a text under a JSON Schema must be an object, whatever the schema says."""


def read_constraint(kind: str, value: object, *, ignore_eos: bool, field: str = "") -> Constraint | None:
    """Returns the constraint that a request's field sets; None for a `json_object` of false.

    Args:
        kind: What the field has: a `Language` value or `json_object`.
        value: The field's value: a bool, or a schema, for `json_object`; a sequence of texts for `choice`; else a text.
        ignore_eos: Whether the request sets `ignore_eos`, which cannot be combined with a constraint.
        field: Name of the field, for errors; empty if it is the same as `kind`.

    Raises:
        InvalidFieldError: The value is malformed or too large, or `ignore_eos` is set.
    """
    if value is False:
        return None
    field = field or kind
    if ignore_eos:
        raise InvalidFieldError("ignore_eos", f"contradicts {field}: a restricted text ends where it is complete")
    match kind, value:
        case "json_object", str(text):
            found = Constraint(Language.JSON_SCHEMA, check_object(text, field), field, is_object=True)
        case "json_object", _:
            found = Constraint(Language.JSON_SCHEMA, _OBJECT, field)
        case "json_schema", str(text):
            found = Constraint(Language.JSON_SCHEMA, check_object(text, field), field)
        case _, str(text):
            found = Constraint(Language(kind), text, field)
        case _, Sequence() as texts:
            found = Constraint(Language.CHOICE, _choice(texts, field), field)
        case _:
            raise TypeError(f"{kind} is not a kind of constraint")
    if len(found.source.encode()) > MAX_BYTES:
        raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
    return found


def _choice(texts: Sequence[str], field: str) -> str:
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidFieldError(field, f"there must be 1 to {MAX_TEXTS} texts, not {len(texts)}")
    if not all(texts):
        raise InvalidFieldError(field, "has an empty text")
    if sum(len(text.encode()) for text in texts) > MAX_BYTES:
        raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
    return json.dumps(list(texts))
