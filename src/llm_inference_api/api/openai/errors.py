"""Error writer of the OpenAI API."""

import json
from typing import NamedTuple

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from llm_inference_api import headers
from llm_inference_api.rpc.error_writer import ErrorWriter, Metadata
from llm_inference_api.rpc.statuses import Failure

_LONGEST_HEADER = 200


class ErrorFields(NamedTuple):
    """Fields of OpenAI's error object other than the message."""

    type: str
    param: str | None = None
    code: str | None = None


def error_fields(failure: Failure) -> ErrorFields:
    """Returns type, param and code of OpenAI's error object, from the failure's status code, field and reason."""
    kind = _KINDS.get(failure.code, "server_error")
    code = _CODES.get(failure.reason, failure.reason.lower())
    return ErrorFields(kind, _param(failure), code)


def error_object(failure: Failure) -> bytes:
    """Returns OpenAI's error response as JSON."""
    return json.dumps({"error": {"message": failure.status.message, **error_fields(failure)._asdict()}}).encode()


class OpenAIErrors(ErrorWriter):
    """Writes errors in OpenAI's format."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns the fields that Envoy builds the error response from (envoy/wire_errors.py)."""
        values = error_fields(failure)._asdict().items()
        return tuple((headers.OPENAI_ERROR[name], _header(value)) for name, value in values if value is not None)

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """Returns the SSE event that ends a stream with an error."""
        data = b"data: " + error_object(failure) + b"\n\n"
        return sent_type(http_body=HttpBody(content_type="text/event-stream", data=data))


def _param(failure: Failure) -> str | None:
    request = error_details_pb2.BadRequest()
    if any(detail.Unpack(request) for detail in failure.status.details):
        return str(request.field_violations[0].field)
    info = error_details_pb2.ErrorInfo()
    if any(detail.Unpack(info) for detail in failure.status.details) and info.metadata.get("field"):
        return str(info.metadata["field"])
    return _PARAMS.get(failure.reason)


def _header(value: str) -> str:
    """Returns the value as printable ASCII of limited length, for an HTTP header."""
    return ascii(value)[1:-1][:_LONGEST_HEADER]


_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_request_error",
    grpc.StatusCode.FAILED_PRECONDITION: "invalid_request_error",
    grpc.StatusCode.UNAUTHENTICATED: "invalid_request_error",
    grpc.StatusCode.NOT_FOUND: "invalid_request_error",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "rate_limit_error",
}

_CODES = {
    "INVALID_FIELD": None,
    "PAGE_NOT_FOUND": None,
    "COMPUTATION_FAILED": None,
    "OVERLOADED": "rate_limit_exceeded",
    "CALLER_LIMIT": "rate_limit_exceeded",
    "DEADLINE_EXCEEDED": "timeout",
}
"""OpenAI's codes of reasons; the code of any other reason is its name in lower case."""

_PARAMS = {"MODEL_NOT_FOUND": "model"}
"""OpenAI's `param` of reasons without a field violation or a field in their metadata."""
