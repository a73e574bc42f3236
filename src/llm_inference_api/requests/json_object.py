"""Validation of JSON objects that requests carry as text."""

import json
import math
import sys
from typing import Any

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_size import counting

MAX_BYTES = 64 << 10
"""Maximum size of a constraint, and of a tool's description with its parameters."""
MAX_DEPTH = 64
"""Maximum nesting depth of a JSON object."""
MAX_DIGITS = 4300
"""Maximum number of characters of an integer in a JSON text: Python converts no more digits."""


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
        value = json.loads(data, parse_constant=_refuse_constant, parse_int=integer)
    except ValueError as error:
        raise InvalidFieldError(field, f"is no valid JSON ({error})") from error
    except RecursionError as error:
        raise InvalidFieldError(field, f"has more than {levels} levels") from error
    if not isinstance(value, dict):
        raise InvalidFieldError(field, "is no JSON object")
    if _depth(value) > levels:
        raise InvalidFieldError(field, f"has more than {levels} levels")
    return text


def integer(digits: str) -> int:
    """Returns the number of a JSON integer. Raises ValueError, in words for callers, if it has too many digits."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer has more than {MAX_DIGITS} digits")
    return int(digits)


def finite(value: Any) -> Any:
    """Returns a JSON value in which numbers beyond float64, which Python reads as infinities, are its largest ones."""
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    return [finite(item) for item in value] if isinstance(value, list) else value


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
