"""JSON bodies of wires whose JSON protobuf cannot express: read strictly, and written.

Unknown and unsupported fields are refused by name.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from reprlib import Repr
from typing import Annotated, Any, Literal, Protocol, Self, TypeVar

from google.api.httpbody_pb2 import HttpBody
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.answers import Answer
from llm_inference_api.generation.generation import Generation
from llm_inference_api.generation.several import Several
from llm_inference_api.requests.events import Usage
from llm_inference_api.requests.inquiry import Embedding
from llm_inference_api.requests.json_size import counting
from llm_inference_api.rpc.off_loop import off_loop, written_size

Json = dict[str, Any]

JSON = "application/json"
EVENTS = "text/event-stream"
_PART = 1 << 20
"""Bytes of a document in one message, as clients of gRPC take no message above 4 MiB by default."""
_UNKNOWN = "unknown_field"
"""Type of the error for an unknown field."""
_UNTAGGED = "union_tag_invalid"
"""pydantic's type of the error for an object of a kind that is not known."""
_CHOICE = "tool_choice"
"""Field that is an object, or the name of a mode, which is read as an object with that."""
_SHOWN = 100
"""Maximum length, in characters, of an invalid value quoted in an error."""
_SHORT = Repr()
"""Shows the beginning of a large value in about the time that a small one takes."""
_SHORT.maxstring = _SHORT.maxlong = 2 * _SHOWN
_PIECES_DEPTH = 5
"""Levels that `large_document` writes itself: those down to the list of a choice's log probabilities."""


class Strict(BaseModel):
    """A JSON object with known fields only."""

    # defer_build: the service starts a tenth earlier; the first request of a kind takes some 30 ms more.
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown(cls, value: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Raises an error for the first unknown field, behind those of known ones; pydantic would make one for each."""
        known = {field.alias or name for name, field in cls.model_fields.items()}
        unknown = next((name for name in value if name not in known), None) if isinstance(value, dict) else None
        if unknown is None or not isinstance(value, dict):
            return validate(value)
        validate({name: inner for name, inner in value.items() if name in known})
        raise PydanticCustomError(_UNKNOWN, "unknown field", {"field": unknown})


class _FailFast(FailFast):
    """pydantic's FailFast with a hash, so that its type may be optional."""

    __hash__ = object.__hash__


FIRST_ERROR = _FailFast()
"""Of a list: items behind an invalid one are not validated."""


def _no(value: object) -> object:
    """Returns False. Raises ValueError for any other value, also for 0, which equals False in Python."""
    if value is not False:
        raise ValueError("must be false, or left out")
    return value


No = Annotated[Literal[False], BeforeValidator(_no)]
"""False alone."""


def at_most(most: int, what: str) -> BeforeValidator:
    """Returns a validator that counts the items of a list or object before they are validated."""

    def check(value: object) -> object:
        if isinstance(value, list | dict) and len(value) > most:
            raise ValueError(f"has {len(value)} {what}; at most {most} are allowed")
        return value

    return BeforeValidator(check)


def joined_texts(text_of_part: Callable[[int, object], str]) -> Callable[[object], object]:
    """Returns a validator that makes one text of a content in parts; other values are left to pydantic."""

    def text_of(value: object) -> object:
        return "\n".join(text_of_part(*part) for part in enumerate(value)) if isinstance(value, list) else value

    return text_of


Params = TypeVar("Params", bound=Strict)


def parse(kind: type[Params], body: bytes, unsupported: Mapping[str, str]) -> Params:
    """Parses and validates an HTTP body.

    Args:
        kind: What it is.
        body: The JSON.
        unsupported: What is said of known fields that are not supported, by their paths.

    Raises:
        InvalidFieldError: For the first invalid field.
    """
    try:
        value = from_json(body)
    except ValueError as error:
        raise InvalidFieldError("body", f"is no valid JSON ({error})") from error
    return validated(kind, value, unsupported)


def validated(kind: type[Params], value: object, unsupported: Mapping[str, str], *place: int | str) -> Params:
    """Validates a JSON value that is at this place of a body, such as `"input", 0`. Arguments and errors as `parse`."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        unknown = (problem["ctx"]["field"],) if problem["type"] == _UNKNOWN else ()
        field = _path((*place, *problem["loc"], *unknown))
        raise InvalidFieldError(field or "body", _describe(field, dict(problem), unsupported)) from error


def _path(location: tuple[int | str, ...]) -> str:
    """Returns a field's path, such as `messages[0].content`, without pydantic's names of union members."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step == "mode" and path.endswith(_CHOICE):
            continue
        elif step != "str" and not step.startswith(("list[", "dict[", "function-", "literal[")):
            path += f".{step}" if path else step
    return path


def _describe(field: str, problem: dict[str, Any], unsupported: Mapping[str, str]) -> str:
    if field in unsupported:
        return unsupported[field]
    kind, message = problem["type"], str(problem["msg"])
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == _UNTAGGED:
        return (
            f"is of type {problem['ctx']['tag']!r}, which is not supported; it may be {problem['ctx']['expected_tags']}"
        )
    if kind == _UNKNOWN:
        return "is not a parameter that this service knows; leave it out"
    if kind == "missing":
        return "is missing"
    shown = _SHORT.repr(problem["input"])
    return f"{message[:1].lower()}{message[1:]}, not {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}"


def document(value: Json) -> bytes:
    """Returns the object as compact JSON in UTF-8."""
    return _text(value).encode("utf-8", "replace")


def large_document(value: Json, depth: int = _PIECES_DEPTH) -> bytes:
    """Returns the same as `document`, in many short calls into C: others wait for the GIL that each one holds.

    Args:
        value: The object.
        depth: Levels that are written apart.
    """
    return "".join(_pieces(value, depth)).encode("utf-8", "replace")


def _pieces(value: object, depth: int) -> Iterator[str]:
    if depth and value and isinstance(value, dict):
        yield "{"
        for index, (key, inner) in enumerate(value.items()):
            yield f"{',' if index else ''}{_text(key)}:"
            yield from _pieces(inner, depth - 1)
        yield "}"
    elif depth and value and isinstance(value, list):
        yield "["
        for index, inner in enumerate(value):
            yield "," if index else ""
            yield from _pieces(inner, depth - 1)
        yield "]"
    else:
        yield _text(value)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def numbers(embedding: Embedding) -> str:
    """Returns a JSON array with 9 significant digits, exact for float32 and half the size of `json.dumps`."""
    return f"[{','.join(map('%.9g'.__mod__, embedding.numbers))}]"


def json_body(value: Json) -> HttpBody:
    """Returns an HTTP body with the object."""
    return HttpBody(content_type=JSON, data=document(value))


def events_body(data: bytes) -> HttpBody:
    """Returns an HTTP body with server-sent events."""
    return HttpBody(content_type=EVENTS, data=data)


class Writer(Protocol):
    """Writes answers as a wire's JSON."""

    def whole(self, answers: list[Answer], usage: Usage) -> bytes:
        """Returns the document with all answers."""


async def whole_bodies(writer: Writer, generation: Generation | Several) -> Iterator[HttpBody]:
    """Waits for all answers and returns their document in parts. Raises as `Generation.whole`."""
    answers, total = await generation.whole()
    data = await off_loop(written_size(generation.request, total), writer.whole, answers, total)
    return in_parts(JSON, data)


def in_parts(content_type: str, data: bytes) -> Iterator[HttpBody]:
    """Yields HTTP bodies with the parts of what may be large."""
    return (HttpBody(content_type=content_type, data=data[at : at + _PART]) for at in range(0, len(data), _PART))


async def check_values(body: bytes) -> None:
    """Raises InvalidFieldError for a body of too many values. Other calls go on meanwhile."""
    for _ in counting(body, "body"):
        await asyncio.sleep(0)
