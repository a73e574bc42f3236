"""Log lines of requests that Envoy refuses itself, such as for an unknown path, which the service never sees."""

import json
from typing import Any

from llm_inference_api import headers
from llm_inference_api.envoy.extensions import typed

_FIELDS = {
    # Without the query: it may hold what callers take for a private channel.
    "path": "%PATH(NQ:ORIG_OR_PATH):200%",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "peer": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request_id": f"%REQ({headers.REQUEST_ID.upper()})%",
}
FLUSH = ("--file-flush-interval-msec", "250")
"""Envoy's arguments for how long it keeps a line; the default is 10 s."""


def refusal_log() -> dict[str, Any]:
    """Returns the access log that writes a line of JSON to standard error for each refusal, health checks aside."""
    errors = {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "unused.ge_400"}}}
    own = typed("extensions.access_loggers.filters.cel.v3.ExpressionFilter")
    own["expression"] = "response.code_details != 'via_upstream'"
    filters = [
        {"not_health_check_filter": {}},
        {"status_code_filter": errors},
        {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": own}},
    ]
    config = typed("extensions.access_loggers.stream.v3.StderrAccessLog", log_format={"json_format": _FIELDS})
    return {
        "name": "envoy.access_loggers.stderr",
        "filter": {"and_filter": {"filters": filters}},
        "typed_config": config,
    }


def read_refusal(line: bytes) -> dict[str, object] | None:
    """Returns the fields of a line of the log; None for any other line of Envoy's."""
    if not line.startswith(b"{"):
        return None
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and values.keys() == _FIELDS.keys() else None
