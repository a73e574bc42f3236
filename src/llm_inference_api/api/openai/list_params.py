"""The parameters `order` and `limit` of OpenAI's lists."""

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.limits import Range

_ASCENDING, _DESCENDING = "asc", "desc"


def is_newest_first(order: str | None) -> bool:
    """Returns whether a list begins with its newest item, as it does by default. Raises InvalidFieldError."""
    if order not in (None, _ASCENDING, _DESCENDING):
        raise InvalidFieldError("order", f"must be {_ASCENDING!r} or {_DESCENDING!r}")
    return order != _ASCENDING


def page_length(limit: int | None, default: int, most: int) -> int:
    """Returns how many items a page has at most. Raises InvalidFieldError if the limit is out of range."""
    length = default if limit is None else limit
    Range(1, most).check("limit", length)
    return length
