"""Limits on the size of fields, checked before their contents."""

from llm_inference_api.errors import InvalidFieldError

MAX_PROMPT_BYTES = 1 << 20


def check_count(field: str, count: int, most: int, what: str) -> None:
    """Raises InvalidFieldError if there are more than `most`; `what` names the items."""
    if count > most:
        raise InvalidFieldError(field, f"has {count} {what}; at most {most} are allowed")


def check_size(field: str, size: int) -> None:
    """Raises InvalidFieldError if `size`, in bytes, exceeds `MAX_PROMPT_BYTES`."""
    if size > MAX_PROMPT_BYTES:
        raise InvalidFieldError(field, f"has {size} bytes; at most {MAX_PROMPT_BYTES} are allowed")
