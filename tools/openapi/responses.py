"""Schemas of `/v1/responses`: requests from pydantic models, responses as `api/openai/responses` writes them."""

from typing import Any

from pydantic import BaseModel

from llm_inference_api.api.openai.responses.items import MAX_ITEMS
from llm_inference_api.api.openai.responses.params import (
    IGNORED,
    MAX_KEY,
    MAX_METADATA,
    MAX_VALUE,
    UNSUPPORTED,
    InputTokensParams,
    ResponseParams,
)
from llm_inference_api.requests.tools import MAX_TOOLS, TOOL_NAME
from tools.openapi.limits import EFFORT, SAMPLING
from tools.openapi.openai import limited, plain_schema

Json = dict[str, Any]

_REQUESTS: dict[str, type[BaseModel]] = {"CreateResponse": ResponseParams, "CountInputTokens": InputTokensParams}
_CONVERSATION: dict[str, Json] = {"input": {"maxItems": MAX_ITEMS}, "tools": {"maxItems": MAX_TOOLS}}
_LIMITS: dict[str, dict[str, Json]] = {
    "ResponseParams": {
        **_CONVERSATION,
        **SAMPLING,
        "max_output_tokens": {"minimum": -1, "not": {"const": 0}},
        "metadata": {
            "maxProperties": MAX_METADATA,
            "propertyNames": {"maxLength": MAX_KEY},
            "additionalProperties": {"type": "string", "maxLength": MAX_VALUE},
        },
    },
    "InputTokensParams": _CONVERSATION,
    "FunctionTool": {"name": {"pattern": f"^{TOOL_NAME.pattern}$"}},
    "ReasoningParam": {"effort": EFFORT},
}
_WORDS = {
    "model": "Id of the model; not needed if only one is served.",
    "input": "What is said: a text of the user's, or messages, calls of functions, their outputs, and thoughts.",
    "instructions": "System prompt. It is not carried over to responses that go on from this one.",
    "previous_response_id": "A stored response of the same caller, from whose conversation this one goes on.",
    "store": "Whether the response is kept for a time. Default: true.",
    "stream": "Whether the response is streamed as server-sent events. Default: false.",
    "stream_options": "Options of a stream.",
    "max_output_tokens": (
        "Maximum number of tokens to generate, thoughts included; -1 leaves it to the service. More than the service's "
        "limit or than the input leaves of the context is lowered to that."
    ),
    "tools": "Functions that the model may call, alone or in namespaces. Tools that OpenAI runs are refused.",
    "tool_choice": "Whether the model may or must call them.",
    "parallel_tool_calls": "Whether a response may have several calls. Default: true.",
    "text": "Format of the text: text, a JSON object, or JSON by a schema.",
    "reasoning": "How much to think. Thoughts are sent as they are, without a summary.",
    "truncation": "`auto` drops the oldest turns of an input that the context has no room for. Default: `disabled`.",
    "temperature": "Sampling temperature.",
    "top_p": "Nucleus sampling: probability mass.",
    "top_logprobs": "Number of most probable tokens to list at each position.",
    "include": (
        "`message.output_text.logprobs` for the log probabilities of the text. What else OpenAI knows changes nothing: "
        "thoughts can be sent back in any case, in clear text."
    ),
    "metadata": "Texts that the response has too.",
    "user": "A name that the response has too.",
    "prompt_cache_options": "All prompts are cached as long as there is room; `prewarm` is refused.",
    "seed": "Seed of the random number generator, which is not in OpenAI's API.",
    "prompt_cache_key": "With several replicas, requests with the same key are routed to the same one; else ignored.",
}

_TEXT: Json = {"type": "string"}
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_COUNT: Json = {"type": "integer", "minimum": 0}
_COUNT_OR_NULL: Json = {"type": ["integer", "null"]}
_NUMBER: Json = {"type": "number"}
_NULL: Json = {"type": "null"}


def _object(properties: Json, *, optional: tuple[str, ...] = ()) -> Json:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, _NULL]}


def _refer(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_STATUS: Json = {"enum": ["in_progress", "completed", "incomplete"]}
_TOKEN = {"token": _TEXT, "logprob": _NUMBER}
_TOKEN_WITH_BYTES = {**_TOKEN, "bytes": _list({"type": "integer", "maximum": 255})}
_LOGPROBS = _list(_object({**_TOKEN_WITH_BYTES, "top_logprobs": _list(_object(_TOKEN_WITH_BYTES))}))
_EVENT_LOGPROBS = _list(_object({**_TOKEN, "top_logprobs": _list(_object(_TOKEN))}))
_TEXT_PART = _object({"type": {"const": "output_text"}, "text": _TEXT, "annotations": _list({}), "logprobs": _LOGPROBS})
_THOUGHT_PART = _object({"type": {"const": "reasoning_text"}, "text": _TEXT})
_ITEM: Json = {
    "description": "An item of a response's output.",
    "anyOf": [
        _object(
            {
                "id": _TEXT,
                "type": {"const": "message"},
                "status": _STATUS,
                "role": {"const": "assistant"},
                "content": _list(_TEXT_PART),
            }
        ),
        _object(
            {
                "id": _TEXT,
                "type": {"const": "reasoning"},
                "status": _STATUS,
                "summary": _list({}),
                "content": _list(_THOUGHT_PART),
            }
        ),
        _object(
            {
                "id": _TEXT,
                "type": {"const": "function_call"},
                "status": _STATUS,
                "call_id": _TEXT,
                "name": _TEXT,
                "namespace": _TEXT,
                "arguments": _TEXT,
            },
            optional=("namespace",),
        ),
    ],
}
_USAGE = _object(
    {
        "input_tokens": _COUNT,
        "input_tokens_details": _object({"cached_tokens": _COUNT, "cache_write_tokens": {"const": 0}}),
        "output_tokens": _COUNT,
        "output_tokens_details": _object({"reasoning_tokens": _COUNT}),
        "total_tokens": _COUNT,
    }
)
_FORMAT = _object(
    {
        "type": {"enum": ["text", "json_object", "json_schema"]},
        "name": _TEXT,
        "description": _TEXT,
        "schema": {"type": "object"},
        "strict": {"type": "boolean"},
    },
    optional=("name", "description", "schema", "strict"),
)
_TOOL = _object(
    {
        "type": {"const": "function"},
        "name": _TEXT,
        "description": _TEXT_OR_NULL,
        "parameters": {"type": ["object", "null"]},
        "strict": {"type": ["boolean", "null"]},
    }
)
_TOOLS: Json = {
    "anyOf": [
        _TOOL,
        _object(
            {"type": {"const": "namespace"}, "name": _TEXT, "description": _TEXT_OR_NULL, "tools": _list(_TOOL)},
            optional=("description",),
        ),
    ]
}
_RESPONSE = _object(
    {
        "id": _TEXT,
        "object": {"const": "response"},
        "created_at": _COUNT,
        "completed_at": _COUNT_OR_NULL,
        "status": {"enum": ["in_progress", "completed", "incomplete", "failed"]},
        "background": {"const": False},
        "error": _or_null(_object({"code": _TEXT, "message": _TEXT})),
        "incomplete_details": _or_null(_object({"reason": {"const": "max_output_tokens"}})),
        "instructions": _TEXT_OR_NULL,
        "max_output_tokens": _COUNT_OR_NULL,
        "max_tool_calls": _NULL,
        "model": _TEXT,
        "output": _list(_refer("OpenAIOutputItem")),
        "parallel_tool_calls": {"type": "boolean"},
        "previous_response_id": _TEXT_OR_NULL,
        "reasoning": _object({"effort": _TEXT_OR_NULL, "summary": _NULL}),
        "store": {"type": "boolean"},
        "temperature": _NUMBER,
        "text": _object({"format": _FORMAT}),
        "tool_choice": {
            "anyOf": [
                {"enum": ["none", "auto", "required"]},
                _object({"type": {"const": "function"}, "name": _TEXT}),
            ]
        },
        "tools": _list(_TOOLS),
        "top_logprobs": _COUNT,
        "top_p": _NUMBER,
        "truncation": {"enum": ["auto", "disabled"]},
        "usage": _or_null(_USAGE),
        "user": _TEXT_OR_NULL,
        "metadata": {"type": "object", "additionalProperties": _TEXT},
        "ignored_keywords": {
            **_list(_TEXT),
            "description": "Names of the tools' keywords that the response does not follow.",
        },
    },
    optional=("ignored_keywords",),
)


def _event(kind: str, **fields: Json) -> Json:
    return _object({"type": {"const": f"response.{kind}"}, **fields, "sequence_number": _COUNT})


def _part_event(kind: str, **fields: Json) -> Json:
    return _event(kind, item_id=_TEXT, output_index=_COUNT, content_index=_COUNT, **fields)


_PART: Json = {"anyOf": [_TEXT_PART, _THOUGHT_PART]}
_EVENT: Json = {
    "description": "An event of a stream.",
    "anyOf": [
        *(
            _event(kind, response=_refer("OpenAIResponse"))
            for kind in ("created", "in_progress", "completed", "incomplete", "failed")
        ),
        *(
            _event(kind, output_index=_COUNT, item=_refer("OpenAIOutputItem"))
            for kind in ("output_item.added", "output_item.done")
        ),
        *(_part_event(kind, part=_PART) for kind in ("content_part.added", "content_part.done")),
        _part_event("output_text.delta", delta=_TEXT, logprobs=_EVENT_LOGPROBS),
        _part_event("output_text.done", text=_TEXT, logprobs=_EVENT_LOGPROBS),
        _part_event("reasoning_text.delta", delta=_TEXT),
        _part_event("reasoning_text.done", text=_TEXT),
        _event("function_call_arguments.delta", item_id=_TEXT, output_index=_COUNT, delta=_TEXT),
        _event("function_call_arguments.done", item_id=_TEXT, output_index=_COUNT, arguments=_TEXT),
    ],
}
_PARTS = {
    "OpenAIResponse": {"description": "A response, as far as it goes.", **_RESPONSE},
    "OpenAIResponseEvent": _EVENT,
    "OpenAIOutputItem": _ITEM,
    "OpenAIDeletedResponse": {
        "description": "Says that a response was deleted.",
        **_object({"id": _TEXT, "object": {"const": "response"}, "deleted": {"const": True}}),
    },
    "OpenAIInputTokens": {
        "description": "The number of tokens.",
        **_object({"object": {"const": "response.input_tokens"}, "input_tokens": _COUNT}),
    },
    "OpenAIInputItems": {
        "description": "Input items of a response.",
        **_object(
            {
                "object": {"const": "list"},
                "data": _list({"type": "object", "description": "An item as it was sent, with its id and status."}),
                "first_id": _TEXT_OR_NULL,
                "last_id": _TEXT_OR_NULL,
                "has_more": {"type": "boolean"},
            }
        ),
    },
}
_ANSWERS = {
    "CreateResponse": "OpenAIResponse",
    "GetResponse": "OpenAIResponse",
    "CancelResponse": "OpenAIResponse",
    "DeleteResponse": "OpenAIDeletedResponse",
    "CountInputTokens": "OpenAIInputTokens",
    "ListInputItems": "OpenAIInputItems",
}
_TOP = ("ResponseParams", "InputTokensParams")


def request(method: str, made: dict[str, Json]) -> Json:
    """Returns a reference to a method's request schema; adds its parts to `made`."""
    schema = plain_schema(_REQUESTS[method], "#/components/schemas/OpenAIResponses{model}")
    for name, part in {**schema.pop("$defs", {}), _REQUESTS[method].__name__: schema}.items():
        described = limited(part, _LIMITS.get(name, {}), _described if name in _TOP else _undescribed)
        made[f"OpenAIResponses{name}"] = described
    return _refer(f"OpenAIResponses{_REQUESTS[method].__name__}")


def response(method: str, made: dict[str, Json]) -> Json:
    """Returns a reference to a method's response schema; adds the schemas of responses to `made`."""
    made.update(_PARTS)
    return _refer(_ANSWERS[method])


def events(method: str, made: dict[str, Json]) -> Json | None:
    """Returns a reference to the schema of a method's stream events; None if it does not stream."""
    made.update(_PARTS)
    return _refer("OpenAIResponseEvent") if method == "CreateResponse" else None


def _described(field: str) -> str:
    if field in UNSUPPORTED:
        return f"Not supported: {UNSUPPORTED[field]}."
    return _WORDS.get(field, "Accepted, but ignored." if field in IGNORED else "")


def _undescribed(_field: str) -> str:
    return ""
