"""Error responses, as google.rpc.Status and as OpenAI's and Anthropic's error objects."""

from typing import Any

Json = dict[str, Any]

_WORDS = {
    "400": "Invalid request; `message` names the field and the allowed values.",
    "401": "The API key is missing or unknown.",
    "403": "The key, the hub, or the list of origins does not permit this.",
    "404": "Unknown model or path.",
    "405": "The method is not allowed; see `Allow`.",
    "408": "The request's body did not arrive in time.",
    "413": "The body is larger than 4 MiB. Files may be larger.",
    "429": "Too many requests; see `Retry-After`.",
    "499": "The client cancelled the request.",
    "500": "Internal error; `message` has the id of the incident in the service's log.",
    "503": "The service or the model is unavailable.",
    "504": "The request exceeded its time limit.",
}
_EXAMPLES = {
    "400": (3, "temperature: must be a number from 0 to 2, not 3"),
    "401": (16, "an API key is needed: send it as Authorization: Bearer <key>"),
    "403": (7, "the hub refuses to give this repository"),
    "404": (5, "model 'x' is not served here; ListModels (GET /api/llms) names those that are"),
    "405": (12, "method not allowed; use POST"),
    "408": (3, "request timeout"),
    "413": (3, "Payload Too Large"),
    "429": (8, "the queue of model demo is full: 40 requests wait"),
    "499": (1, "the call was cancelled"),
    "500": (13, "internal error; incident 0123456789abcdef0123456789abcdef"),
    "503": (14, "the service is not ready: it starts, stops or was replaced; retry later"),
    "504": (4, "the request took longer than 300 s, the service's limit; ask for fewer tokens"),
}
_OPENAI_TYPES = {"429": "rate_limit_error", "500": "server_error", "503": "server_error", "504": "server_error"}

OPENAI_ERROR: Json = {
    "type": "object",
    "description": "An error in OpenAI's format.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string", "description": "Human-readable description."},
                "type": {"type": "string", "description": "Such as `invalid_request_error`."},
                "param": {"type": ["string", "null"], "description": "The invalid parameter."},
                "code": {"type": ["string", "null"], "description": "Such as `model_not_found`."},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}

_RETRY_AFTER = {
    "description": "Seconds to wait before a retry.",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
}


ANTHROPIC_ERROR: Json = {
    "type": "object",
    "description": "An error in Anthropic's format.",
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "description": "Such as `invalid_request_error`."},
                "message": {"type": "string", "description": "Human-readable description."},
                "details": {
                    "type": "object",
                    "description": "What clients act on: `thread_unsupported_request` of a `thread`.",
                    "properties": {"error_code": {"type": ["string", "null"]}},
                },
            },
            "required": ["type", "message"],
        },
        "request_id": {"type": ["string", "null"], "description": "Correlation id, as `x-request-id`."},
    },
    "required": ["type", "error"],
}
_ANTHROPIC_TYPES = {
    "401": "authentication_error",
    "404": "not_found_error",
    "413": "request_too_large",
    "429": "rate_limit_error",
    "500": "api_error",
    "503": "overloaded_error",
    "504": "timeout_error",
}


def responses(codes: tuple[str, ...], *, kind: str) -> dict[str, Json]:
    """Returns references to the error responses with these HTTP statuses; `kind` is the schema of the error."""
    return {code: {"$ref": f"#/components/responses/{kind}{code}"} for code in codes}


def components() -> dict[str, Json]:
    """Returns the error responses of all statuses in both formats, by component name."""
    return {
        f"{kind}{code}": _response(code, kind, example)
        for code in _WORDS
        for kind, example in (
            ("Error", _status(code)),
            ("OpenAIError", _openai(code)),
            ("AnthropicError", _anthropic(code)),
        )
    }


def _response(code: str, kind: str, example: Json) -> Json:
    schema = {"$ref": f"#/components/schemas/{'Status' if kind == 'Error' else kind}"}
    content = {"application/json": {"schema": schema, "example": example}}
    headers = {"headers": {"retry-after": _RETRY_AFTER}} if code in ("429", "503") else {}
    return {"description": _WORDS[code], **headers, "content": content}


def _status(code: str) -> Json:
    number, message = _EXAMPLES[code]
    details: list[Json] = []
    if code == "400":
        field, _, problem = message.partition(": ")
        violation = {"field": field, "description": problem}
        info = {"reason": "INVALID_FIELD", "domain": "llm-inference-api", "metadata": {}}
        details = [_detail("ErrorInfo", **info), _detail("BadRequest", field_violations=[violation])]
    return {"code": number, "message": message, "details": details}


def _detail(kind: str, **fields: Any) -> Json:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def _anthropic(code: str) -> Json:
    error = {"type": _ANTHROPIC_TYPES.get(code, "invalid_request_error"), "message": _EXAMPLES[code][1]}
    return {"type": "error", "error": error, "request_id": "0f8fad5b-d9cb-469f-a165-70867728950e"}


def _openai(code: str) -> Json:
    message = _EXAMPLES[code][1]
    param = message.partition(":")[0] if code == "400" else None
    kind = _OPENAI_TYPES.get(code, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": None}}
