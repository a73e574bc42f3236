"""The document as a whole."""

import json
from typing import Any

from llm_inference_api import __version__
from tools.openapi import errors
from tools.openapi.contract import read_contract
from tools.openapi.paths import paths, tags
from tools.openapi.schemas import STATUS, Schemas

Json = dict[str, Any]

_DESCRIPTION = """\
Language models on your own machine: typed JSON below `/api`, the same for OpenAI's clients below `/v1`.

Streams are server-sent events (`text/event-stream`). A stream that breaks after it began ends with an event that
carries only `error`; one that ends with neither a finish reason nor an `error` was cut on the way.

Fields of `/api` that are not known are not seen; unknown query parameters, and unknown fields of `/v1`, are refused.
Sizes are limits in characters here and in bytes of UTF-8 in the service. `max_tokens` and `n` have further limits,
which are settings of the service (`LLM_MAX_TOKENS_LIMIT`, `LLM_MAX_CONCURRENT_REQUESTS`). `/api` reads JSON as
protobuf does: null is as if left out, and a number may be written as text.
"""
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, for services that ask for one (OpenAI's clients send theirs the same way).",
}


def document(descriptors: bytes) -> Json:
    """Returns the OpenAPI document of a descriptor set that was written with source information."""
    contract = read_contract(descriptors)
    schemas = Schemas(contract)
    found = paths(contract, schemas)
    made = {**schemas.made, "Status": STATUS, "OpenAIError": errors.OPENAI_ERROR}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "llm-inference-api",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"apiKey": []}],
        "tags": tags(contract),
        "paths": found,
        "components": {
            "schemas": dict(sorted(made.items())),
            "responses": errors.components(),
            "securitySchemes": {"apiKey": _KEY},
        },
    }


def text(descriptors: bytes) -> str:
    """Returns the document as the file has it."""
    return json.dumps(document(descriptors), indent=1, ensure_ascii=False) + "\n"
