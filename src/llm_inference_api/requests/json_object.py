"""Validation of JSON objects that requests carry as text."""

import json

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_size import counting

MAX_BYTES = 64 << 10
"""Maximum size of a constraint, and of a tool's description with its parameters."""
MAX_DEPTH = 64
"""Maximum nesting depth of a JSON object."""


def check_object(text: str, field: str, most: int = MAX_BYTES, levels: int = MAX_DEPTH) -> str:
    """Returns the text.

    Args:
        text: The JSON.
        field: Name of the request's field, for errors.
        most: Maximum size in bytes.
        levels: Maximum nesting depth.

    Raises:
        InvalidFieldError: The text of `field` is too large, is not a JSON object, or is nested too deeply.
    """
    data = text.encode()
    if len(data) > most:
        raise InvalidFieldError(field, f"has more than {most} bytes")
    for _ in counting(data, field):
        pass
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except ValueError as error:
        raise InvalidFieldError(field, f"is no valid JSON ({error})") from error
    except RecursionError as error:
        raise InvalidFieldError(field, f"has more than {levels} levels") from error
    if not isinstance(value, dict):
        raise InvalidFieldError(field, "is no JSON object")
    if _depth(value) > levels:
        raise InvalidFieldError(field, f"has more than {levels} levels")
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


def _depth(value: object) -> int:
    """Returns the nesting depth of a JSON value. Iterative, because deep values would exceed the recursion limit."""
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ())
        ]
    return depth
