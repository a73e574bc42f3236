"""Schemas of `/v1/messages`: requests from pydantic models, responses as `api/anthropic/writers.py` writes them."""

from typing import Any

from pydantic import BaseModel

from llm_inference_api.api.anthropic.params import IGNORED, UNSUPPORTED, CountParams, MessagesParams
from llm_inference_api.requests.chat import MAX_MESSAGES
from llm_inference_api.requests.tools import MAX_TOOLS, TOOL_NAME
from tools.openapi.limits import EFFORT, SAMPLING
from tools.openapi.openai import limited, plain_schema

Json = dict[str, Any]

_REQUESTS: dict[str, type[BaseModel]] = {"CreateMessage": MessagesParams, "CountMessageTokens": CountParams}
_CHAT: dict[str, Json] = {
    "messages": {"minItems": 1, "maxItems": MAX_MESSAGES},
    "tools": {"maxItems": MAX_TOOLS},
}
_LIMITS: dict[str, dict[str, Json]] = {
    "MessagesParams": {**_CHAT, **SAMPLING, "max_tokens": {"minimum": 1}},
    "CountParams": _CHAT,
    "ToolParam": {"name": {"pattern": f"^{TOOL_NAME.pattern}$"}},
    "ThinkingParam": {"budget_tokens": {"minimum": 1}},
    "OutputParam": {"effort": EFFORT},
}
_WORDS = {
    "model": "Id of the model; not needed if only one is served.",
    "messages": "The chat. Results of tools stand in messages of the user.",
    "system": "System prompt.",
    "max_tokens": "Maximum number of tokens to generate; more than the service's limit is lowered to that.",
    "stop_sequences": "Texts at which the answer ends; `stop_sequence` says which it was.",
    "stream": "Whether the answer is streamed as server-sent events.",
    "tools": "Functions that the model may call.",
    "tool_choice": "Whether the model may or must call them.",
    "thinking": "Whether and how much to think. Without it, and with `adaptive`, the model's chat template decides.",
    "output_config": "Effort of thinking, and a schema that the text follows.",
    "output_format": "The earlier name of `output_config.format`.",
    "temperature": "Sampling temperature.",
    "top_k": "Number of most probable tokens to sample from.",
    "top_p": "Nucleus sampling: probability mass.",
    "seed": "Seed of the random number generator, which is not in Anthropic's API.",
}

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}


def _object(properties: Json, optional: Json | None = None) -> Json:
    every = {**properties, **(optional or {})}
    return {"type": "object", "properties": every, "required": [*properties], "additionalProperties": False}


_USAGE = _object(
    {
        "input_tokens": _COUNT,
        "cache_creation_input_tokens": {"const": 0},
        "cache_read_input_tokens": _COUNT,
        "output_tokens": _COUNT,
        "output_tokens_details": _object({"thinking_tokens": _COUNT}),
    }
)
_BLOCK: Json = {
    "anyOf": [
        _object({"type": {"const": "text"}, "text": _TEXT, "citations": {"type": "null"}}),
        _object({"type": {"const": "thinking"}, "thinking": _TEXT, "signature": _TEXT}),
        _object({"type": {"const": "tool_use"}, "id": _TEXT, "name": _TEXT, "input": {"type": "object"}}),
    ]
}
_ENDING: Json = {
    "stop_reason": {"enum": ["end_turn", "max_tokens", "stop_sequence", "tool_use", None]},
    "stop_sequence": {"type": ["string", "null"]},
    "max_tokens": {
        "type": ["integer", "null"],
        "description": "Maximum number of tokens that the answer could have; not Anthropic's.",
    },
}
_IGNORED_KEYWORDS: Json = {
    "ignored_keywords": {
        "type": "array",
        "items": _TEXT,
        "description": "Keywords of the tools' schemas that were left out; not Anthropic's.",
    }
}
_MESSAGE = _object(
    {
        "id": _TEXT,
        "type": {"const": "message"},
        "role": {"const": "assistant"},
        "model": _TEXT,
        "seed": {**_COUNT, "description": "Seed that was used; not Anthropic's."},
        "content": {"type": "array", "items": _BLOCK},
        **_ENDING,
        "usage": _USAGE,
    },
    _IGNORED_KEYWORDS,
)
_DELTA: Json = {
    "anyOf": [
        _object({"type": {"const": kind}, field: _TEXT})
        for kind, field in (
            ("text_delta", "text"),
            ("thinking_delta", "thinking"),
            ("signature_delta", "signature"),
            ("input_json_delta", "partial_json"),
        )
    ]
}
ERROR: Json = _object({"type": _TEXT, "message": _TEXT})
_EVENT: Json = {
    "anyOf": [
        _object({"type": {"const": "message_start"}, "message": _MESSAGE}),
        _object({"type": {"const": "content_block_start"}, "index": _COUNT, "content_block": _BLOCK}),
        _object({"type": {"const": "content_block_delta"}, "index": _COUNT, "delta": _DELTA}),
        _object({"type": {"const": "content_block_stop"}, "index": _COUNT}),
        _object({"type": {"const": "message_delta"}, "delta": _object(_ENDING, _IGNORED_KEYWORDS), "usage": _USAGE}),
        _object({"type": {"const": "message_stop"}}),
        _object({"type": {"const": "ping"}}),
        _object({"type": {"const": "error"}, "error": ERROR}),
    ]
}
_PARTS = {
    "AnthropicMessage": {"description": "An answer.", **_MESSAGE},
    "AnthropicEvent": {"description": "An event of a stream.", **_EVENT},
    "AnthropicTokenCount": {"description": "The number of tokens.", **_object({"input_tokens": _COUNT})},
}
_ANSWERS = {"CreateMessage": "AnthropicMessage", "CountMessageTokens": "AnthropicTokenCount"}


def request(method: str, made: dict[str, Json]) -> Json:
    """Returns a reference to a method's request schema; adds its parts to `made`."""
    schema = plain_schema(_REQUESTS[method], "#/components/schemas/Anthropic{model}")
    for name, part in {**schema.pop("$defs", {}), _REQUESTS[method].__name__: schema}.items():
        made[f"Anthropic{name}"] = limited(part, _LIMITS.get(name, {}), _described if name in _TOP else _undescribed)
    return {"$ref": f"#/components/schemas/Anthropic{_REQUESTS[method].__name__}"}


def response(method: str, made: dict[str, Json]) -> Json:
    """Returns a reference to a method's response schema; adds the schemas of responses to `made`."""
    made.update(_PARTS)
    return {"$ref": f"#/components/schemas/{_ANSWERS[method]}"}


def events(method: str, made: dict[str, Json]) -> Json | None:
    """Returns a reference to the schema of a method's stream events; None if it does not stream."""
    made.update(_PARTS)
    return {"$ref": "#/components/schemas/AnthropicEvent"} if method == "CreateMessage" else None


_TOP = ("MessagesParams", "CountParams")


def _described(field: str) -> str:
    if field in UNSUPPORTED:
        return f"Not supported: {UNSUPPORTED[field]}."
    return "Accepted, but ignored." if field in IGNORED else _WORDS.get(field, "")


def _undescribed(_field: str) -> str:
    return ""
