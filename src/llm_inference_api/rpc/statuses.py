"""Maps errors to gRPC statuses with google.rpc details (AIP-193). No other module does."""

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from llm_inference_api import headers
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
    ResponseTooLargeError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
    UnknownResponseError,
    UnsupportedError,
)

DOMAIN = "llm-inference-api"
_ELSEWHERE_REASONS = ("DRAINING", "MODEL_UNLOADING")
"""Reasons of UNAVAILABLE that allow a retry on another replica. A crashed worker is not among them: the request may
have caused the crash, and would repeat it there."""
_LONGEST_TEXT = 1000
"""Maximum size of a message, and of texts in the details, in bytes. They are sent in headers, where non-ASCII bytes
take three times the size. Clients reject headers over 8 kB; over 60 kB Envoy closes the connection with all its
streams."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is sent: the status with its details, and hints for retries."""

    status: status_pb2.Status
    code: grpc.StatusCode
    reason: str
    """ErrorInfo.reason, in UPPER_SNAKE_CASE."""
    retry_after: float | None = None
    """Seconds to wait before a retry."""
    elsewhere: bool = False
    """Whether the request may be retried on another replica at once."""

    @property
    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The serialized status, and entries that Envoy copies to HTTP headers of the same names."""
        metadata: list[tuple[str, str | bytes]] = [(headers.GRPC_STATUS_DETAILS, self.status.SerializeToString())]
        if self.retry_after is not None:
            metadata.append((headers.RETRY_AFTER, str(math.ceil(self.retry_after))))
        if self.elsewhere:
            metadata.append((headers.RETRY_ELSEWHERE, "true"))
        if self.code is grpc.StatusCode.UNAUTHENTICATED:
            metadata.append((headers.WWW_AUTHENTICATE, "Bearer"))
        return tuple(metadata)


def describe(error: ServiceError) -> Failure:
    """Returns the failure for an error whose text may be sent to the caller."""
    retry_after = error.retry_after if isinstance(error, (OverloadedError, UnavailableError)) else None
    info = _error_info(error.reason, error.metadata)
    status = _status(code_of(error), str(error), [info, *_details(error)])
    return Failure(status, code_of(error), error.reason, retry_after, _may_go_elsewhere(error))


def describe_unexpected() -> tuple[Failure, str]:
    """Returns the failure for an internal error, whose text is not sent, and the incident id to log it with."""
    incident = uuid.uuid4().hex
    code, reason = grpc.StatusCode.INTERNAL, ServiceError.reason
    info = _error_info(reason, {"incident_id": incident})
    return Failure(_status(code, f"internal error; incident {incident}", [info]), code, reason), incident


def _may_go_elsewhere(error: ServiceError) -> bool:
    overloaded = isinstance(error, OverloadedError) and not isinstance(error, CallerLimitError)
    return overloaded or (isinstance(error, UnavailableError) and error.reason in _ELSEWHERE_REASONS)


def _status(code: grpc.StatusCode, text: str, details: Sequence[Message]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=_cut(text))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def code_of(error: ServiceError) -> grpc.StatusCode:
    """Returns the status code of an error: that of its most specific class in `_CODES`."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


_CODES: dict[type, grpc.StatusCode] = {
    InvalidFieldError: grpc.StatusCode.INVALID_ARGUMENT,
    ContextLengthError: grpc.StatusCode.INVALID_ARGUMENT,
    ResponseTooLargeError: grpc.StatusCode.INVALID_ARGUMENT,
    ModelNotFoundError: grpc.StatusCode.NOT_FOUND,
    PageNotFoundError: grpc.StatusCode.NOT_FOUND,
    UnknownResponseError: grpc.StatusCode.NOT_FOUND,
    ModelFailedError: grpc.StatusCode.FAILED_PRECONDITION,
    UnsupportedError: grpc.StatusCode.FAILED_PRECONDITION,
    HubError: grpc.StatusCode.FAILED_PRECONDITION,
    HubAccessError: grpc.StatusCode.PERMISSION_DENIED,
    DiskFullError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    PoisonRequestError: grpc.StatusCode.FAILED_PRECONDITION,
    OverloadedError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    UnavailableError: grpc.StatusCode.UNAVAILABLE,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    DeadlineError: grpc.StatusCode.DEADLINE_EXCEEDED,
    ComputationError: grpc.StatusCode.INTERNAL,
    ServiceError: grpc.StatusCode.INTERNAL,
}


def _details(error: ServiceError) -> list[Message]:
    """Returns the error's google.rpc details other than ErrorInfo."""
    match error:
        case InvalidFieldError():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=_cut(error.field), description=_cut(error.problem)
            )
            return [error_details_pb2.BadRequest(field_violations=[violation])]
        case OverloadedError():
            quota = error_details_pb2.QuotaFailure.Violation(subject="requests", description=_cut(error.problem))
            return [_retry_info(error.retry_after), error_details_pb2.QuotaFailure(violations=[quota])]
        case UnavailableError():
            return [_retry_info(error.retry_after)]
        case _:
            return []


def _cut(text: str) -> str:
    return text.encode("utf-8", "replace")[:_LONGEST_TEXT].decode("utf-8", "ignore")


def _error_info(reason: str, metadata: dict[str, str]) -> Message:
    info: Message = error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)
    return info


def _retry_info(seconds: float) -> Message:
    delay = Duration()
    delay.FromMilliseconds(math.ceil(seconds * 1000))
    info: Message = error_details_pb2.RetryInfo(retry_delay=delay)
    return info
