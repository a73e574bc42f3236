"""Constraints for structured output."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_object import MAX_BYTES, check_object

MAX_TEXTS = 1000
"""Maximum number of texts of a choice constraint."""
_OBJECT = '{"type": "object"}'


Schemas = Sequence[tuple[dict[str, Any], bool]]
"""JSON schemas, each with whether it is strict: unsupported keywords are errors."""


class Language(Enum):
    """Language of a constraint's source."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    """A JSON array of the allowed texts."""
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class Constraint:
    """A grammar that the whole text of an answer must match."""

    language: Language
    source: str
    field: str
    """Name of the request's field that set the constraint, for error messages."""
    before: str = ""
    """Lark rules that define `before`, the text in front of the constrained text; empty: none."""
    words: "Constraint | None" = None
    """The constraint that `@words` refers to in Lark rules."""


def read_constraint(field: str, value: object, *, ignore_eos: bool) -> Constraint | None:
    """Returns the constraint that a request's field sets; None for a `json_object` of false.

    Args:
        field: Name of the field: a `Language` value or `json_object`.
        value: The field's value: a bool for `json_object`, a sequence of texts for `choice`, else a text.
        ignore_eos: Whether the request sets `ignore_eos`, which cannot be combined with a constraint.

    Raises:
        InvalidFieldError: The value is malformed or too large, or `ignore_eos` is set.
    """
    if value is False:
        return None
    if ignore_eos:
        raise InvalidFieldError("ignore_eos", f"contradicts {field}: a restricted text ends where it is complete")
    match field, value:
        case "json_object", _:
            found = Constraint(Language.JSON_SCHEMA, _OBJECT, field)
        case "json_schema", str(text):
            found = Constraint(Language.JSON_SCHEMA, check_object(text, field), field)
        case _, str(text):
            found = Constraint(Language(field), text, field)
        case _, Sequence() as texts:
            found = Constraint(Language.CHOICE, _choice(texts), field)
        case _:
            raise TypeError(f"{field} is not a constraint field")
    if len(found.source.encode()) > MAX_BYTES:
        raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
    return found


def _choice(texts: Sequence[str]) -> str:
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidFieldError("choice", f"there must be 1 to {MAX_TEXTS} texts, not {len(texts)}")
    if not all(texts):
        raise InvalidFieldError("choice", "has an empty text")
    if sum(len(text.encode()) for text in texts) > MAX_BYTES:
        raise InvalidFieldError("choice", f"has more than {MAX_BYTES} bytes")
    return json.dumps(list(texts))
