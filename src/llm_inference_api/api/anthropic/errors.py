"""Error writer of Anthropic's API."""

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2

from llm_inference_api import headers
from llm_inference_api.api.anthropic.params import THREAD
from llm_inference_api.api.anthropic.writers import sse_event
from llm_inference_api.api.bodies import events_body
from llm_inference_api.rpc.error_writer import ErrorWriter, Metadata
from llm_inference_api.rpc.statuses import Failure

_TYPES = {
    grpc.StatusCode.INVALID_ARGUMENT: "invalid_request_error",
    grpc.StatusCode.FAILED_PRECONDITION: "invalid_request_error",
    grpc.StatusCode.UNAUTHENTICATED: "authentication_error",
    grpc.StatusCode.PERMISSION_DENIED: "permission_error",
    grpc.StatusCode.NOT_FOUND: "not_found_error",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "rate_limit_error",
    grpc.StatusCode.DEADLINE_EXCEEDED: "timeout_error",
    grpc.StatusCode.UNAVAILABLE: "overloaded_error",
}
"""https://docs.claude.com/en/api/errors"""
_CODES = {THREAD: "thread_unsupported_request"}
"""`error_code` of an error's details by the refused field. Clients send the request again without that field."""


def error_type(failure: Failure) -> str:
    """Returns the type of Anthropic's error object."""
    return _TYPES.get(failure.code, "api_error")


class AnthropicErrors(ErrorWriter):
    """Writes errors in Anthropic's format."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns the field that Envoy builds the error response from (envoy/wire_errors.py)."""
        kind = (headers.ERROR_TYPE, error_type(failure))
        code = _CODES.get(_field(failure))
        return (kind,) if code is None else (kind, (headers.ERROR_CODE, code))

    def message(self, sent_type: type[Message], failure: Failure) -> Message:
        """Returns the SSE event that ends a stream with an error."""
        error = {"type": error_type(failure), "message": failure.status.message}
        return sent_type(http_body=events_body(sse_event({"type": "error", "error": error})))


def _field(failure: Failure) -> str:
    """Returns the name of the field that is refused; empty if it is none."""
    request = error_details_pb2.BadRequest()
    if any(detail.Unpack(request) for detail in failure.status.details):
        return str(request.field_violations[0].field)
    return ""
