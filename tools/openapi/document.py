"""Assembles the OpenAPI document."""

import json
from typing import Any

from llm_inference_api import __version__
from tools.openapi import errors
from tools.openapi.contract import read_contract
from tools.openapi.paths import paths, tags
from tools.openapi.schemas import STATUS, Schemas

Json = dict[str, Any]

_DESCRIPTION = """\
Local inference of language models: typed JSON below `/api`, OpenAI- and Anthropic-compatible APIs below `/v1`.

Streams are server-sent events (`text/event-stream`). A stream that fails after its start ends with an event that has
`error` only; one that ends with neither a finish reason nor an `error` was cut by a lost connection.

Unknown fields of `/api` are ignored; unknown query parameters, and unknown fields of `/v1`, are refused. Length limits
are in characters here, but in bytes of UTF-8 in the service. `n` is further limited by the service's settings
(`LLM_MAX_CONCURRENT_REQUESTS`, `LLM_MAX_QUEUED_REQUESTS`); `max_tokens` is lowered to what is possible. `/api` reads
JSON as protobuf does: null is the same as an absent field, and a number may be a string.
"""
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "The API key, if the service requires one; OpenAI's clients send theirs in the same way.",
}


def document(descriptors: bytes) -> Json:
    """Returns the OpenAPI document of a serialised descriptor set with source information."""
    contract = read_contract(descriptors)
    schemas = Schemas(contract)
    found = paths(contract, schemas)
    made = {
        **schemas.made,
        "Status": STATUS,
        "OpenAIError": errors.OPENAI_ERROR,
        "AnthropicError": errors.ANTHROPIC_ERROR,
    }
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
    """Returns the document as JSON text."""
    return json.dumps(document(descriptors), indent=1, ensure_ascii=False) + "\n"
