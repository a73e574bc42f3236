"""Envoy's part of OpenAI compatibility: error objects."""

from typing import Any

from llm_inference_api import headers
from llm_inference_api.envoy.extensions import typed

OPENAI_ERRORS = "openai-errors"
"""Name of the filter, by which routes enable it."""


def openai_errors_filter() -> dict[str, Any]:
    """Returns the filter that converts the JSON of a google.rpc.Status to OpenAI's error object; disabled by default.

    Successful responses skip it, since it would buffer streams.
    """
    skip = typed("extensions.filters.common.matcher.action.v3.SkipFilter")
    status_class = typed("type.matcher.v3.HttpResponseStatusCodeClassMatchInput")
    matcher = {
        "input": {"name": "class", "typed_config": status_class},
        "exact_match_map": {"map": {"2xx": {"action": {"name": "skip", "typed_config": skip}}}},
    }
    transform = {"name": "envoy.filters.http.transform", "typed_config": _transform()}
    config = typed(
        "extensions.common.matching.v3.ExtensionWithMatcher",
        xds_matcher={"matcher_tree": matcher},
        extension_config=transform,
    )
    return {"name": OPENAI_ERRORS, "disabled": True, "typed_config": config}


def _transform() -> dict[str, Any]:
    error = {"message": "%RESPONSE_BODY(message)%"}
    error |= {field: f"%RESP({header})%" for field, header in headers.OPENAI_ERROR.items()}
    body = {"content_type": "application/json", "json_format": {"error": error}}
    return typed(
        "extensions.filters.http.transform.v3.TransformConfig",
        response_transformation={"body_transformation": {"action": "REPLACE", "body_format": body}},
    )
