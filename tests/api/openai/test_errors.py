import json

import pytest

from llm_inference.v1 import openai_pb2
from llm_inference_api.api.openai.errors import OpenAIErrors, error_fields
from llm_inference_api.errors import (
    CallerLimitError,
    ComputationError,
    ContextLengthError,
    DeadlineError,
    DiskFullError,
    HubAccessError,
    HubError,
    InvalidFieldError,
    ModelFailedError,
    ModelNotFoundError,
    OverloadedError,
    PageNotFoundError,
    PoisonRequestError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from llm_inference_api.rpc.statuses import describe, describe_unexpected


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (InvalidFieldError("temperature", "x"), ("invalid_request_error", "temperature", None)),
        (ContextLengthError(9, 8), ("invalid_request_error", "prompt", "context_length_exceeded")),
        (
            ContextLengthError(9, 8, True, "messages"),
            ("invalid_request_error", "messages", "context_length_exceeded"),
        ),
        (ModelNotFoundError("x"), ("invalid_request_error", "model", "model_not_found")),
        (OverloadedError("full", 1.0), ("rate_limit_error", None, "rate_limit_exceeded")),
        (UnavailableError("WORKER_DIED", "x"), ("server_error", None, "worker_died")),
        (DeadlineError("x"), ("server_error", None, "timeout")),
        (ComputationError("x"), ("server_error", None, None)),
        (PageNotFoundError("x"), ("invalid_request_error", None, None)),
        (ModelFailedError("x"), ("invalid_request_error", None, "model_failed")),
        (UnsupportedError("EMBEDDINGS_UNSUPPORTED", "x"), ("invalid_request_error", None, "embeddings_unsupported")),
        (HubError("HUB_FILE_NOT_FOUND", "x"), ("invalid_request_error", None, "hub_file_not_found")),
        (HubAccessError("HUB_GATED", "x"), ("server_error", None, "hub_gated")),
        (DiskFullError("DISK_FULL", "x"), ("rate_limit_error", None, "disk_full")),
        (PoisonRequestError("x"), ("invalid_request_error", None, "poison_request")),
        (CallerLimitError("x", 1.0), ("rate_limit_error", None, "rate_limit_exceeded")),
        (UnauthenticatedError("x"), ("invalid_request_error", None, "invalid_api_key")),
    ],
)
def test_each_error_has_openais_type_param_and_code(error: ServiceError, fields: tuple[str, str, str]) -> None:
    """What programs read of an error is OpenAI's word for it."""
    assert tuple(error_fields(describe(error))) == fields


def test_unexpected_error_shows_nothing_of_itself() -> None:
    """An incident's id is all that a caller reads."""
    failure, incident = describe_unexpected()
    sent = OpenAIErrors().message(openai_pb2.CreateCompletionResponse, failure)
    event = sent.http_body.data.decode()  # type: ignore[attr-defined]
    assert event.startswith("data: ")
    assert event.endswith("\n\n")
    error = json.loads(event.removeprefix("data: "))["error"]
    assert error["message"] == f"internal error; incident {incident}"
    assert (error["type"], error["param"], error["code"]) == ("server_error", None, "internal")


def test_metadata_fits_into_headers() -> None:
    """A field's name may be anything that a caller writes; a header may not."""
    metadata = dict(OpenAIErrors().trailing_metadata(describe(InvalidFieldError("ü\n" + "x" * 1000, "is unknown"))))
    assert metadata["x-error-param"].startswith("\\xfc\\nx")
    assert len(metadata["x-error-param"]) <= 200
    assert "x-error-code" not in metadata
