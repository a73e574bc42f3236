"""Error objects of OpenAI's, Anthropic's and Ollama's wires, which Envoy makes of the service's google.rpc.Status."""

from typing import Any

from llm_inference_api import headers
from llm_inference_api.envoy.extensions import typed

Json = dict[str, Any]

OPENAI_ERRORS, ANTHROPIC_ERRORS, OLLAMA_ERRORS = "openai-errors", "anthropic-errors", "ollama-errors"
"""Names of the filters, by which routes enable them."""


def error_filters() -> list[Json]:
    """Returns the filters that convert the JSON of a google.rpc.Status to a wire's error object; off by default.

    Successful responses skip them, since they would buffer streams.
    """
    message = "%RESPONSE_BODY(message)%"
    openai = {"message": message, **{field: f"%RESP({name})%" for field, name in headers.OPENAI_ERROR.items()}}
    details = {"error_code": f"%RESP({headers.ERROR_CODE})%"}
    anthropic = {"type": f"%RESP({headers.ERROR_TYPE})%", "message": message, "details": details}
    return [
        _filter(OPENAI_ERRORS, {"error": openai}),
        _filter(ANTHROPIC_ERRORS, {"type": "error", "error": anthropic, "request_id": _REQUEST_ID}),
        _filter(OLLAMA_ERRORS, {"error": message}),
    ]


_REQUEST_ID = f"%REQ({headers.REQUEST_ID})%"


def _filter(name: str, body: Json) -> Json:
    skip = typed("extensions.filters.common.matcher.action.v3.SkipFilter")
    status_class = typed("type.matcher.v3.HttpResponseStatusCodeClassMatchInput")
    matcher = {
        "input": {"name": "class", "typed_config": status_class},
        "exact_match_map": {"map": {"2xx": {"action": {"name": "skip", "typed_config": skip}}}},
    }
    transform = {"name": "envoy.filters.http.transform", "typed_config": _transform(body)}
    config = typed(
        "extensions.common.matching.v3.ExtensionWithMatcher",
        xds_matcher={"matcher_tree": matcher},
        extension_config=transform,
    )
    return {"name": name, "disabled": True, "typed_config": config}


def _transform(body: Json) -> Json:
    written = {"content_type": "application/json", "json_format": body}
    return typed(
        "extensions.filters.http.transform.v3.TransformConfig",
        response_transformation={"body_transformation": {"action": "REPLACE", "body_format": written}},
    )
