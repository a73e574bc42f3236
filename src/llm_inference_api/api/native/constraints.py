"""What a request restricts its answer to: the wire's kinds as the engine's."""

import json

from llm_inference.v1 import inference_pb2
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.request import Constraint, Language

MAX_BYTES = 64 << 10
MAX_DEPTH = 64
"""Levels of a JSON object."""
MAX_TEXTS = 1000
"""To choose from."""

_OBJECT = '{"type": "object"}'


def constraint(wire: inference_pb2.GenerateRequest | inference_pb2.ChatRequest) -> Constraint | None:
    """Returns what the message restricts the answer to. Raises InvalidFieldError where that cannot be valid."""
    field = wire.WhichOneof("constraint")
    if field is None or (field == "json_object" and not wire.json_object):
        return None
    if wire.ignore_eos:
        raise InvalidFieldError("ignore_eos", f"contradicts {field}: a restricted text ends where it is complete")
    match field:
        case "json_schema":
            found = Constraint(Language.JSON_SCHEMA, check_object(wire.json_schema, field), field)
        case "json_object":
            found = Constraint(Language.JSON_SCHEMA, _OBJECT, field)
        case "choice":
            found = Constraint(Language.CHOICE, _choice(list(wire.choice.texts)), field)
        case _:
            found = Constraint(Language(field), getattr(wire, field), field)
    if len(found.source.encode()) > MAX_BYTES:
        raise InvalidFieldError(field, f"has more than {MAX_BYTES} bytes")
    return found


def check_object(text: str, field: str) -> str:
    """Returns the text. Raises InvalidFieldError, with the field, where it is no JSON object or one too deep."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidFieldError(field, f"is no valid JSON ({error})") from error
    except RecursionError as error:
        raise InvalidFieldError(field, f"has more than {MAX_DEPTH} levels") from error
    if not isinstance(value, dict):
        raise InvalidFieldError(field, "is no JSON object")
    if _depth(value) > MAX_DEPTH:
        raise InvalidFieldError(field, f"has more than {MAX_DEPTH} levels")
    return text


def _choice(texts: list[str]) -> str:
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise InvalidFieldError("choice", f"there must be 1 to {MAX_TEXTS} texts, not {len(texts)}")
    if not all(texts):
        raise InvalidFieldError("choice", "has an empty text")
    return json.dumps(texts)


def _depth(value: object) -> int:
    """Returns the levels of a JSON value, counted level by level: recursion is what it guards against."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
    return depth
