"""Requests for batches as pydantic models, and what is read of files' lists."""

from typing import Annotated, Literal

from pydantic import Field

from llm_inference_api.api.bodies import Strict, at_most
from llm_inference_api.api.bodies import parse as parse_body
from llm_inference_api.errors import InvalidFieldError

WINDOW = "24h"
WINDOW_SECONDS = 24 * 3600
SHORTEST_LIFETIME = 3600
"""Seconds for which a file is kept at least, as OpenAI has it."""
MAX_METADATA, MAX_KEY, MAX_VALUE = 16, 64, 512


class ExpiryParam(Strict):
    """When a file is deleted."""

    anchor: Literal["created_at"]
    seconds: int


class BatchParams(Strict):
    """Body of `POST /v1/batches`."""

    input_file_id: str
    endpoint: str
    completion_window: Literal["24h"]
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=MAX_KEY)], Annotated[str, Field(max_length=MAX_VALUE)]],
            at_most(MAX_METADATA, "pairs"),
        ]
        | None
    ) = None
    output_expires_after: ExpiryParam | None = None


def parse(body: bytes) -> BatchParams:
    """Returns the parameters of a batch. Raises InvalidFieldError."""
    return parse_body(BatchParams, body, {})


def checked_lifetime(field: str, seconds: int, longest: int) -> int:
    """Returns the seconds. Raises InvalidFieldError if a file is not kept for so short or so long a time."""
    if not SHORTEST_LIFETIME <= seconds <= longest:
        raise InvalidFieldError(field, f"must be {SHORTEST_LIFETIME} to {longest}, not {seconds}")
    return seconds
