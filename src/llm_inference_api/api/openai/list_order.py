"""The parameter `order` of OpenAI's lists."""

from llm_inference_api.errors import InvalidFieldError

_ASCENDING, _DESCENDING = "asc", "desc"


def is_newest_first(order: str | None) -> bool:
    """Returns whether a list begins with its newest item, as it does by default. Raises InvalidFieldError."""
    if order not in (None, _ASCENDING, _DESCENDING):
        raise InvalidFieldError("order", f"must be {_ASCENDING!r} or {_DESCENDING!r}")
    return order != _ASCENDING
