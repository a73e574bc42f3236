"""What the text of an answer is restricted to."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_object import MAX_BYTES, check_object

MAX_TEXTS = 1000
"""To choose from."""
_OBJECT = '{"type": "object"}'


class Language(Enum):
    """How a constraint is written."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    """A JSON list of texts."""
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the whole text of an answer must match."""

    language: Language
    source: str
    field: str
    """The field of the request that asks for it."""
    before: str = ""
    """Lark rules for `before`, which may stand before the text that matches; empty for nothing."""
    words: "Constraint | None" = None
    """What `@words` stands for in Lark rules that use it."""


def read_constraint(field: str, value: object, *, ignore_eos: bool) -> Constraint | None:
    """Returns the constraint that a field asks for; None for a `json_object` of false.

    The field's name is a language, or `json_object`; its value is a text, for `choice` the texts. Raises
    InvalidFieldError where no text can match it.
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
        case _, Iterable() as texts:
            found = Constraint(Language.CHOICE, _choice(list(texts)), field)
        case _:
            raise TypeError(f"{field} is no constraint")
    if len(found.source.encode()) > MAX_BYTES:
        raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
    return found


def _choice(texts: list[str]) -> str:
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidFieldError("choice", f"there must be 1 to {MAX_TEXTS} texts, not {len(texts)}")
    if not all(texts):
        raise InvalidFieldError("choice", "has an empty text")
    return json.dumps(texts)
