"""Limits on the size of fields, checked before their contents."""

from llm_inference_api.errors import InvalidFieldError

MAX_PROMPT_BYTES = 1 << 20
MAX_LOGPROBS = 400_000
"""Log probabilities of a response in one message: some 36 bytes each, which gRPC's 16 MiB have room for."""
MAX_EMBEDDED_NUMBERS = 1 << 20
"""Components of all embeddings of a response: up to 14 bytes each in JSON."""


def check_count(field: str, count: int, most: int, what: str) -> None:
    """Raises InvalidFieldError if there are more than `most`; `what` names the items."""
    if count > most:
        raise InvalidFieldError(field, f"has {count} {what}; at most {most} are allowed")


def check_size(field: str, size: int) -> None:
    """Raises InvalidFieldError if `size`, in bytes, exceeds `MAX_PROMPT_BYTES`."""
    if size > MAX_PROMPT_BYTES:
        raise InvalidFieldError(field, f"has {size} bytes; at most {MAX_PROMPT_BYTES} are allowed")


def check_logprobs(answers: int, max_tokens: int, top_logprobs: int) -> None:
    """Raises InvalidFieldError if the log probabilities of so many whole answers may not fit one response."""
    if (count := answers * max_tokens * (1 + top_logprobs)) > MAX_LOGPROBS:
        problem = (
            f"n * max_tokens * (1 + top_logprobs) is {count}; at most {MAX_LOGPROBS} are sent in one response: "
            "lower one of them, or stream the answer"
        )
        raise InvalidFieldError("top_logprobs", problem)


def check_scores(tokens: int, top: int) -> None:
    """Raises InvalidFieldError if the log probabilities of so many given tokens do not fit one response."""
    if tokens * (1 + top) > MAX_LOGPROBS:
        problem = (
            f"{tokens} tokens are scored, with {top} more at each; at most {MAX_LOGPROBS} are sent in one response"
        )
        raise InvalidFieldError("top_logprobs", f"{problem}: lower it, or score less")


def check_embedded_numbers(field: str, inputs: int, width: int) -> None:
    """Raises InvalidFieldError if so many embeddings of this width are too large for one response."""
    if inputs * width > MAX_EMBEDDED_NUMBERS:
        problem = f"has {inputs} items, and this model's embeddings have {width} numbers each"
        raise InvalidFieldError(field, f"{problem}; at most {MAX_EMBEDDED_NUMBERS // width} items fit a response")
