"""Which refusals another replica may answer instead."""

import pytest

from llm_inference_api import headers
from llm_inference_api.errors import (
    CallerLimitError,
    InvalidFieldError,
    OverloadedError,
    ServiceError,
    UnavailableError,
)
from llm_inference_api.rpc.statuses import describe


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (OverloadedError("the queue is full", 1.0), True),
        (UnavailableError("DRAINING", "the service is stopping"), True),
        (UnavailableError("MODEL_UNLOADING", "the model is being unloaded"), True),
        (CallerLimitError("8 of your requests are in flight", 1.0), False),
        (UnavailableError("WORKER_DIED", "the model's process ended"), False),
        (InvalidFieldError("prompt", "is empty"), False),
    ],
)
def test_refusals_that_harmed_nobody_may_go_elsewhere(error: ServiceError, elsewhere: bool) -> None:  # noqa: FBT001
    """A request that killed its model's process must not visit the next replica."""
    assert ((headers.RETRY_ELSEWHERE, "true") in describe(error).trailing_metadata) is elsewhere
