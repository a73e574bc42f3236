"""Formats Envoy's own error responses like the service's: google.rpc.Status as JSON, OpenAI's errors below `/v1`."""

from typing import Any

Json = dict[str, Any]

_CODES = {404: 5, 405: 12, 413: 3, 429: 8, 504: 4}
"""google.rpc.Code by HTTP status, for statuses that do not use their class's code."""
_INVALID_ARGUMENT, _UNAVAILABLE = 3, 14


def local_replies() -> Json:
    """Returns the `local_reply_config`; the first matching mapper applies."""
    return {
        "mappers": [
            _openai_mapper([_status("EQ", 429)], "rate_limit_error"),
            _openai_mapper([_status("GE", 400), _status("LE", 499)], "invalid_request_error"),
            _openai_mapper([_status("GE", 500)], "server_error"),
            *(_mapper([_status("EQ", status)], code) for status, code in _CODES.items()),
            _mapper([_status("GE", 400), _status("LE", 499)], _INVALID_ARGUMENT),
            _mapper([_status("GE", 500)], _UNAVAILABLE),
        ]
    }


def _mapper(filters: list[Json], code: int) -> Json:
    return _reply(filters, {"code": code, "message": "%LOCAL_REPLY_BODY%", "details": []})


def _openai_mapper(filters: list[Json], kind: str) -> Json:
    body = {"error": {"message": "%LOCAL_REPLY_BODY%", "type": kind, "param": None, "code": None}}
    return _reply([*filters, _is_openai()], body)


def _reply(filters: list[Json], body: Json) -> Json:
    return {
        "filter": {"and_filter": {"filters": [*filters, _is_rest()]}},
        "body_format_override": {"content_type": "application/json", "json_format": body},
    }


def _status(op: str, value: int) -> Json:
    comparison = {"op": op, "value": {"default_value": value, "runtime_key": f"unused.{op.lower()}_{value}"}}
    return {"status_code_filter": {"comparison": comparison}}


def _is_rest() -> Json:
    """Matches requests other than native gRPC. Transcoded ones have gRPC's content type, but an original path too."""
    not_grpc = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }
    transcoded = {"name": "x-envoy-original-path", "present_match": True}
    return {"or_filter": {"filters": [{"header_filter": {"header": header}} for header in (not_grpc, transcoded)]}}


def _is_openai() -> Json:
    paths = ({"name": name, "string_match": {"prefix": "/v1/"}} for name in (":path", "x-envoy-original-path"))
    return {"or_filter": {"filters": [{"header_filter": {"header": path}} for path in paths]}}
