"""Formats Envoy's own error responses like the service's.

They are google.rpc.Status as JSON, OpenAI's errors below `/v1`, Anthropic's below `/v1/messages`, and over gRPC the
same status with its details. On the port of Ollama's API, they are its errors instead of the first.
"""

import base64
import math
from collections.abc import Sequence
from typing import Any, Protocol

from google.protobuf.json_format import MessageToDict

from llm_inference_api import headers
from llm_inference_api.envoy.extensions import typed
from llm_inference_api.errors import UnavailableError
from llm_inference_api.rpc.statuses import describe

Json = dict[str, Any]

_CODES = {403: 7, 404: 5, 405: 12, 413: 3, 429: 8, 501: 12, 504: 4}
"""google.rpc.Code by HTTP status, for statuses that do not use their class's code."""
_INVALID_ARGUMENT, _UNAVAILABLE = 3, 14
_ENVOYS_TEXT = "%LOCAL_REPLY_BODY%"
_KINDS = ((429, 429, "rate_limit_error"), (400, 499, "invalid_request_error"), (500, 599, "server_error"))
"""`type` of OpenAI's error object by the range of the HTTP status; the first match applies."""
_ANTHROPIC_KINDS = (
    (404, 404, "not_found_error"),
    (413, 413, "request_too_large"),
    (429, 429, "rate_limit_error"),
    (400, 499, "invalid_request_error"),
    (503, 503, "overloaded_error"),
    (500, 599, "api_error"),
)
"""The same of Anthropic's."""

_TEXTS = {
    "missing_host_header": (400, "host: a request needs this header"),
    "path_normalization_failed": (400, "the path must not contain #, nor %00 or an invalid escape"),
    "upgrade_failed": (403, "upgrades of the connection, such as to WebSocket, are not supported"),
    "absolute_path_rejected": (404, "the path must begin with /"),
    "route_not_found": (404, "unknown path"),
    "health_check_failed_cluster_unhealthy": (503, "the service is not ready"),
}
"""HTTP status and text of replies to which Envoy gives no text, by its %RESPONSE_CODE_DETAILS%."""
_NOT_READY = UnavailableError("NOT_READY", "the service is not ready: it starts, stops or was replaced; retry later")
_LOST = UnavailableError("CONNECTION_LOST", "the connection to the service was lost with the request; retry later")
_BUSY = UnavailableError("PROXY_OVERLOADED", "the proxy has as many requests as it can bear; retry later")
_RETRIABLE = ((_NOT_READY, ("UH", "UF", "NC", "NFCF")), (_BUSY, ("UO", "OM")), (_LOST, ()))
"""What a 503 says, by Envoy's response flags (%RESPONSE_FLAGS%); the last one with any other flag."""


class ErrorShape(Protocol):
    """The body of errors that are of no wire below `/v1`."""

    def __call__(self, code: int, details: Sequence[Json] = ()) -> Json:
        """Returns the body of an error with this google.rpc.Code and these details of a google.rpc.Status."""


def status_body(code: int, details: Sequence[Json] = ()) -> Json:
    """Returns a google.rpc.Status."""
    return {"code": code, "message": _ENVOYS_TEXT, "details": list(details)}


def ollama_body(code: int, details: Sequence[Json] = ()) -> Json:  # noqa: ARG001 - as `ErrorShape`
    """Returns Ollama's error, which has a text alone."""
    return {"error": _ENVOYS_TEXT}


def local_replies(shape: ErrorShape = status_body) -> Json:
    """Returns the `local_reply_config`; the first matching mapper applies."""
    return {
        "mappers": [
            *_unread(shape),
            *(
                mapper
                for details, (status, text) in _TEXTS.items()
                for mapper in _with_text(details, status, text, shape)
            ),
            *(mapper for error, flags in _RETRIABLE for mapper in _retriable(error, flags, shape)),
            *(_anthropic_mapper([_between(*statuses)], kind) for *statuses, kind in _ANTHROPIC_KINDS),
            *(_openai_mapper([_between(*statuses)], kind) for *statuses, kind in _KINDS),
            *(_mapper([_status("EQ", status)], shape(code)) for status, code in _CODES.items()),
            _mapper([_between(400, 499)], shape(_INVALID_ARGUMENT)),
            _mapper([_status("GE", 500)], shape(_UNAVAILABLE)),
        ]
    }


def _unread(shape: ErrorShape) -> list[Json]:
    """Returns the mappers for requests whose path Envoy could not read; the body has the fields of both shapes."""
    no_path = {"header_filter": {"header": {"name": ":path", "present_match": True, "invert_match": True}}}
    kinds = ((400, 499, _INVALID_ARGUMENT), (501, 501, _CODES[501]), (500, 599, _UNAVAILABLE))
    return [
        _reply([no_path, _between(low, high)], {**_openai_body(_kind(low)), **shape(code)}) for low, high, code in kinds
    ]


def _with_text(details: str, status: int, text: str, shape: ErrorShape) -> list[Json]:
    expression = typed("extensions.access_loggers.filters.cel.v3.ExpressionFilter")
    expression["expression"] = f"response.code_details == '{details}'"
    matches = {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": expression}}
    code = _CODES.get(status, _INVALID_ARGUMENT if status < 500 else _UNAVAILABLE)
    mappers = (
        _anthropic_mapper([matches], _kind(status, _ANTHROPIC_KINDS)),
        _openai_mapper([matches], _kind(status)),
        _mapper([matches], shape(code)),
    )
    return [mapper | {"body": {"inline_string": text}} for mapper in mappers]


def _retriable(error: UnavailableError, flags: tuple[str, ...], shape: ErrorShape) -> list[Json]:
    """Returns the mappers of a 503 that says when to retry: `Retry-After`, and `RetryInfo` in the details."""
    failure = describe(error)
    filters = [_status("EQ", 503), *([{"response_flag_filter": {"flags": list(flags)}}] if flags else [])]
    retry_after = _header(headers.RETRY_AFTER, str(math.ceil(error.retry_after)))
    details = MessageToDict(failure.status, preserving_proto_field_name=True)["details"]
    serialized = base64.b64encode(failure.status.SerializeToString()).decode().rstrip("=")
    # The status that the details repeat has this text, and clients compare both.
    said = {"body": {"inline_string": failure.status.message}}
    return [
        {
            "filter": {"and_filter": {"filters": [*filters, _IS_GRPC]}},
            "headers_to_add": [retry_after, _header(headers.GRPC_STATUS_DETAILS, serialized)],
            **said,
        },
        _reply([*filters, _IS_ANTHROPIC], _anthropic_body("overloaded_error"))
        | {"headers_to_add": [retry_after], **said},
        _reply([*filters, _IS_OPENAI], _openai_body("server_error", failure.reason.lower()))
        | {"headers_to_add": [retry_after], **said},
        _reply(filters, shape(_UNAVAILABLE, details)) | {"headers_to_add": [retry_after], **said},
    ]


def _kind(status: int, kinds: tuple[tuple[int, int, str], ...] = _KINDS) -> str:
    return next(kind for low, high, kind in kinds if low <= status <= high)


def _mapper(filters: list[Json], body: Json) -> Json:
    return _reply([*filters, _IS_REST], body)


def _openai_mapper(filters: list[Json], kind: str) -> Json:
    return _reply([*filters, _IS_REST, _IS_OPENAI], _openai_body(kind))


def _anthropic_mapper(filters: list[Json], kind: str) -> Json:
    return _reply([*filters, _IS_REST, _IS_ANTHROPIC], _anthropic_body(kind))


def _anthropic_body(kind: str) -> Json:
    return {
        "type": "error",
        "error": {"type": kind, "message": _ENVOYS_TEXT},
        "request_id": f"%REQ({headers.REQUEST_ID})%",
    }


def _openai_body(kind: str, code: str | None = None) -> Json:
    return {"error": {"message": _ENVOYS_TEXT, "type": kind, "param": None, "code": code}}


def _reply(filters: list[Json], body: Json) -> Json:
    chosen = filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}}
    return {"filter": chosen, "body_format_override": {"content_type": "application/json", "json_format": body}}


def _header(key: str, value: str) -> Json:
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _between(low: int, high: int) -> Json:
    return {"and_filter": {"filters": [_status("GE", low), _status("LE", high)]}}


def _status(op: str, value: int) -> Json:
    comparison = {"op": op, "value": {"default_value": value, "runtime_key": f"unused.{op.lower()}_{value}"}}
    return {"status_code_filter": {"comparison": comparison}}


def _any_of(*filters: Json) -> Json:
    return {"or_filter": {"filters": [{"header_filter": {"header": header}} for header in filters]}}


_GRPC_TYPE = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
_NOT_TRANSCODED = {"name": "x-envoy-original-path", "present_match": True, "invert_match": True}
"""Transcoded requests have gRPC's content type too."""
_IS_GRPC: Json = {
    "and_filter": {"filters": [{"header_filter": {"header": header}} for header in (_GRPC_TYPE, _NOT_TRANSCODED)]}
}
_IS_REST = _any_of(
    {**_GRPC_TYPE, "invert_match": True, "treat_missing_header_as_empty": True},
    {"name": "x-envoy-original-path", "present_match": True},
)


def _is_below(path: str) -> Json:
    return _any_of(
        *(
            {"name": name, "string_match": {"safe_regex": {"regex": f"{path}([/?].*)?"}}}
            for name in (":path", "x-envoy-original-path")
        )
    )


_IS_OPENAI = _is_below("/v1")
_IS_ANTHROPIC = _is_below("/v1/messages")
