"""What errors look like on the wire."""

import ast
import re
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2

import llm_inference_api
from llm_inference_api.engine.embedder import AbandonedError
from llm_inference_api.errors import (
    CallerLimitError,
    ComputationError,
    ContextLengthError,
    CostlyFieldError,
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
    PreviousResponseError,
    ResponseTooLargeError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
    UnknownResponseError,
    UnsupportedError,
    WriteTimeoutError,
)
from llm_inference_api.rpc.statuses import DOMAIN, Failure, describe, describe_unexpected

M = TypeVar("M", bound=Message)

ERRORS: list[tuple[ServiceError, grpc.StatusCode, str]] = [
    (CostlyFieldError("regex", "takes too long"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    (InvalidFieldError("prompt", "is empty"), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    (ContextLengthError(9, 8), grpc.StatusCode.INVALID_ARGUMENT, "CONTEXT_LENGTH_EXCEEDED"),
    (ResponseTooLargeError(9, 8), grpc.StatusCode.INVALID_ARGUMENT, "RESPONSE_TOO_LARGE"),
    (ModelNotFoundError("x"), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
    (PageNotFoundError("x"), grpc.StatusCode.NOT_FOUND, "PAGE_NOT_FOUND"),
    (UnknownResponseError("resp_1"), grpc.StatusCode.NOT_FOUND, "RESPONSE_NOT_FOUND"),
    (PreviousResponseError("resp_1"), grpc.StatusCode.INVALID_ARGUMENT, "PREVIOUS_RESPONSE_NOT_FOUND"),
    (ModelFailedError("damaged"), grpc.StatusCode.FAILED_PRECONDITION, "MODEL_FAILED"),
    (UnsupportedError("EMBEDDINGS_UNSUPPORTED", "x"), grpc.StatusCode.FAILED_PRECONDITION, "EMBEDDINGS_UNSUPPORTED"),
    (HubError("HUB_FILE_NOT_FOUND", "x"), grpc.StatusCode.FAILED_PRECONDITION, "HUB_FILE_NOT_FOUND"),
    (HubAccessError("HUB_GATED", "gated"), grpc.StatusCode.PERMISSION_DENIED, "HUB_GATED"),
    (DiskFullError("DISK_FULL", "full"), grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL"),
    (WriteTimeoutError(60.0), grpc.StatusCode.DEADLINE_EXCEEDED, "WRITE_TIMEOUT"),
    (PoisonRequestError("x"), grpc.StatusCode.FAILED_PRECONDITION, "POISON_REQUEST"),
    (OverloadedError("full", 1.5), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (CallerLimitError("enough", 1.0), grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLER_LIMIT"),
    (UnavailableError("DRAINING", "x"), grpc.StatusCode.UNAVAILABLE, "DRAINING"),
    (UnauthenticatedError("no key"), grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY"),
    (DeadlineError("late"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    (ComputationError("no numbers"), grpc.StatusCode.INTERNAL, "COMPUTATION_FAILED"),
    (AbandonedError(), grpc.StatusCode.INTERNAL, "ABANDONED"),
]


def found(failure: Failure, kind: type[M]) -> list[M]:
    """Returns the details of this type."""
    unpacked = []
    for detail in failure.status.details:
        message = kind()
        if detail.Unpack(message):  # type: ignore[arg-type]
            unpacked.append(message)
    return unpacked


def descendants(name: str, parents: dict[str, set[str]]) -> set[str]:
    """Returns the names of all classes that have the named one as an ancestor."""
    children = {child for child, names in parents.items() if name in names}
    return children.union(*(descendants(child, parents) for child in children))


def parents_of_classes() -> dict[str, set[str]]:
    """Returns for each class of the package, none of which is imported for it, the names of its bases."""
    trees = (ast.parse(path.read_text()) for path in Path(llm_inference_api.__file__).parent.rglob("*.py"))
    classes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)} for node in classes}


def test_table_has_every_error() -> None:
    """Whoever adds a class says here what it is on the wire."""
    public = {name for name in descendants("ServiceError", parents_of_classes()) if not name.startswith("_")}
    assert {type(error).__name__ for error, _, _ in ERRORS} == public


@pytest.mark.parametrize(("error", "code", "reason"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_error_has_its_code_and_reason(error: ServiceError, code: grpc.StatusCode, reason: str) -> None:
    """The code says who can mend it, and ErrorInfo, always the first detail, what it was, for programs."""
    failure = describe(error)
    info = error_details_pb2.ErrorInfo()
    assert failure.status.details[0].Unpack(info)
    assert (failure.code, failure.status.code) == (code, code.value[0])
    assert failure.status.message == str(error)
    assert (info.reason, info.domain, failure.reason) == (reason, DOMAIN, reason)
    assert len(found(failure, error_details_pb2.ErrorInfo)) == 1
    # https://google.aip.dev/193: at most 63 characters of this form.
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,61}[A-Z0-9]", info.reason)


def test_unexpected_error_has_the_incident() -> None:
    """Nothing but the incident's id, under which the log has the error."""
    failure, incident = describe_unexpected()
    (info,) = found(failure, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("INTERNAL", DOMAIN, {"incident_id": incident})


def test_invalid_field_is_named() -> None:
    """BadRequest names the field and what is wrong with it."""
    (request,) = found(describe(InvalidFieldError("prompt", "is empty")), error_details_pb2.BadRequest)
    (violation,) = request.field_violations
    assert (violation.field, violation.description) == ("prompt", "is empty")


@pytest.mark.parametrize("kind", [OverloadedError, CallerLimitError])
def test_refusal_for_lack_of_room_says_when_to_come_back(kind: type[OverloadedError]) -> None:
    """RetryInfo has the time, QuotaFailure the limit."""
    failure = describe(kind("4 wait", 1.5))
    (retry,) = found(failure, error_details_pb2.RetryInfo)
    (quota,) = found(failure, error_details_pb2.QuotaFailure)
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert quota.violations[0].description == "4 wait"
    assert ("retry-after", "2") in failure.trailing_metadata


def test_unavailable_model_says_when_to_come_back() -> None:
    """RetryInfo and the header have the same time."""
    failure = describe(UnavailableError("HUB_UNAVAILABLE", "down", 10.0))
    (retry,) = found(failure, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == 10_000
    assert ("retry-after", "10") in failure.trailing_metadata


def test_prompt_that_is_too_long_has_its_numbers() -> None:
    """Programs can shorten the prompt that the field has without reading the sentence."""
    (info,) = found(describe(ContextLengthError(9, 8)), error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"prompt_tokens": "9", "context_length": "8", "field": "prompt"}


def test_what_a_caller_sent_is_quoted_in_part() -> None:
    """Details travel in headers: Envoy drops a connection, with everybody's streams, where they are too long."""
    failure = describe(InvalidFieldError("x" * 100_000, "\N{EURO SIGN}" * 100_000))
    (request,) = found(failure, error_details_pb2.BadRequest)
    assert len(failure.status.SerializeToString()) < 5_000
    assert request.field_violations[0].field == "x" * 1000
