"""Schemas of OpenAI's response objects as `api/openai/writers.py` writes them; the fuzz test compares the two."""

from typing import Any

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_COUNT: Json = {"type": "integer", "minimum": 0}


def _object(properties: Json, *, optional: tuple[str, ...] = (), description: str = "") -> Json:
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    schema["required"] = [name for name in properties if name not in optional]
    return {"description": description, **schema} if description else schema


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _refer(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_FINISH: Json = {"enum": ["stop", "length", "tool_calls", None]}
_USAGE = _object(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": _object({"cached_tokens": _COUNT}),
        "completion_tokens_details": _object({"reasoning_tokens": _COUNT}),
    },
    description="Token usage of the request.",
)
_TOKEN = {"token": _TEXT, "logprob": {"type": "number"}, "bytes": _list({"type": "integer", "maximum": 255})}
_CHAT_LOGPROBS = _object(
    {
        "content": _list(_object({**_TOKEN, "top_logprobs": _list(_object(_TOKEN))})),
        "refusal": {"type": "null"},
    },
    description="Log probabilities of the tokens, when the request asked for them.",
)
_NAME: Json = {"type": ["string", "null"]}
_PROBABILITY: Json = {"type": "number", "minimum": 0, "maximum": 1}
_COMPLETION_LOGPROBS = _object(
    {
        "tokens": _list(_TEXT),
        "token_logprobs": _list({"type": "number"}),
        "top_logprobs": _list({"type": "object", "additionalProperties": {"type": "number"}}),
        "text_offset": _list(_COUNT),
    },
    description="Log probabilities of the tokens, when the request asked for them.",
)
_CALL = _object(
    {"id": _TEXT, "type": {"const": "function"}, "function": _object({"name": _TEXT, "arguments": _TEXT})},
    description="A tool call.",
)
_CALL_PART = _object(
    {
        "index": _COUNT,
        "id": _TEXT,
        "type": {"const": "function"},
        "function": _object({"name": _TEXT, "arguments": _TEXT}, optional=("name",)),
    },
    optional=("id", "type"),
    description="A delta of a tool call; only the first one has an id and a name.",
)
_MESSAGE = _object(
    {
        "role": {"const": "assistant"},
        "content": _TEXT_OR_NULL,
        "refusal": {"type": "null"},
        "reasoning_content": _TEXT,
        "tool_calls": _list(_refer("OpenAICall")),
    },
    optional=("reasoning_content", "tool_calls"),
    description="The answer.",
)
_DELTA = _object(
    {
        "role": {"const": "assistant"},
        "content": _TEXT,
        "reasoning_content": _TEXT,
        "tool_calls": _list(_refer("OpenAICallPart")),
    },
    optional=("role", "content", "reasoning_content", "tool_calls"),
    description="Delta of the answer.",
)


_NUMBER: Json = {"type": "number", "minimum": 0}
_TIMINGS = _object(
    {
        "queue_ms": _NUMBER,
        "cache_n": _COUNT,
        "prompt_n": _COUNT,
        "prompt_ms": _NUMBER,
        "prompt_per_second": _NUMBER,
        "predicted_n": _COUNT,
        "predicted_ms": _NUMBER,
        "predicted_per_second": _NUMBER,
    },
    description="How long the parts of the request took, where it set `timings`; as in llama.cpp's server.",
)
_PROGRESS = _object(
    {"total": _COUNT, "cache": _COUNT, "processed": _COUNT, "time_ms": _COUNT},
    description="Tokens of the prompt, where the request set `return_progress`: all, reused, and computed or reused.",
)


def _answer(kind: str, choice: Json, usage: Json, *, optional: tuple[str, ...] = ()) -> Json:
    head = {
        "id": _TEXT,
        "object": {"const": kind},
        "created": _COUNT,
        "model": _TEXT,
        "system_fingerprint": _TEXT,
        "seed": _COUNT,
    }
    timings = {"timings": _refer("OpenAITimings")}
    return _object({**head, "choices": _list(choice), "usage": usage, **timings}, optional=("timings", *optional))


def _chunk(kind: str, choice: Json) -> Json:
    schema = _answer(kind, choice, _or_null(_refer("OpenAIUsage")), optional=("usage",))
    schema["properties"]["prompt_progress"] = _PROGRESS
    return schema


def _choice(*, streamed: bool = False, **fields: Json) -> Json:
    limit = {**_COUNT, "description": "Number of tokens that the answer could have; beside a finish reason only."}
    optional = ("max_tokens",) if streamed else ()
    return _object({"index": _COUNT, **fields, "finish_reason": _FINISH, "max_tokens": limit}, optional=optional)


_COMPLETION_LOGPROBS_OR_NULL = _or_null(_COMPLETION_LOGPROBS)
_THINKING = _object(
    {"can_be_off": {"type": "boolean"}, "efforts": _list(_TEXT), "by_default": {"type": "boolean"}},
    description="What requests may say of thinking.",
)
_MODEL = _object(
    {
        "id": _TEXT,
        "object": {"const": "model"},
        "created": _COUNT,
        "owned_by": _TEXT,
        "parent": _or_null(_TEXT),
        "max_model_len": {
            "type": ["integer", "null"],
            "description": "Tokens of a prompt and its answer together; null before the model is first loaded.",
        },
        "thinking": _or_null(_THINKING),
    },
    description="A served model.",
)
_EMBEDDING = _object(
    {
        "object": {"const": "embedding"},
        "index": _COUNT,
        "embedding": {
            "description": "The vector as numbers, or as base64 of its little-endian F32 bytes.",
            "anyOf": [_list({"type": "number"}), {"type": "string", "contentEncoding": "base64"}],
        },
    }
)
_RANKED = _object(
    {
        "index": _COUNT,
        "relevance_score": {"type": "number", "minimum": 0, "maximum": 1},
        "document": _object({"text": _TEXT}),
    },
    optional=("document",),
)
_USAGE_REF = _refer("OpenAIUsage")


def _with_ignored(answer: Json) -> Json:
    """Returns the schema of a chat's answer with the extension that names what is not followed of tools' schemas."""
    description = "Names of the tools' keywords that the answer does not follow, because they cannot be enforced."
    return {
        **answer,
        "properties": {**answer["properties"], "ignored_keywords": {**_list(_TEXT), "description": description}},
    }


ANSWER_PARTS: dict[str, Json] = {
    "OpenAITimings": _TIMINGS,
    "OpenAIUsage": _USAGE,
    "OpenAICall": _CALL,
    "OpenAICallPart": _CALL_PART,
    "OpenAIAnswer": _MESSAGE,
    "OpenAIModel": _MODEL,
    "OpenAIModelList": _object({"object": {"const": "list"}, "data": _list(_refer("OpenAIModel"))}),
    "OpenAIChatCompletion": _with_ignored(
        _answer(
            "chat.completion", _choice(message=_refer("OpenAIAnswer"), logprobs=_or_null(_CHAT_LOGPROBS)), _USAGE_REF
        )
    ),
    "OpenAIChatCompletionChunk": _with_ignored(
        _chunk("chat.completion.chunk", _choice(streamed=True, delta=_DELTA, logprobs=_or_null(_CHAT_LOGPROBS)))
    ),
    "OpenAICompletion": _answer(
        "text_completion", _choice(text=_TEXT, logprobs=_COMPLETION_LOGPROBS_OR_NULL), _USAGE_REF
    ),
    "OpenAICompletionChunk": _chunk(
        "text_completion", _choice(streamed=True, text=_TEXT, logprobs=_COMPLETION_LOGPROBS_OR_NULL)
    ),
    "OpenAIDecision": _object(
        {
            "model": _TEXT,
            "answers": _list(
                {
                    "anyOf": [
                        _object({"type": {"const": "predicate"}, "name": _NAME, "probability": _PROBABILITY}),
                        _object(
                            {
                                "type": {"const": "choice"},
                                "name": _NAME,
                                "choice": {"type": ["string", "boolean"]},
                                "confidence": _PROBABILITY,
                                "probabilities": _list(
                                    _object({"value": {"type": ["string", "boolean"]}, "probability": _PROBABILITY})
                                ),
                            }
                        ),
                        _object(
                            {
                                "type": {"const": "score"},
                                "name": _NAME,
                                "score": {"type": "number", "minimum": 0},
                                "confidence": _PROBABILITY,
                                "probabilities": _list(
                                    _object({"value": _COUNT, "label": _TEXT, "probability": _PROBABILITY})
                                ),
                            }
                        ),
                    ]
                }
            ),
            "usage": _object(
                {
                    "input_tokens": _COUNT,
                    "input_tokens_details": _object({"cached_tokens": _COUNT, "cache_write_tokens": _COUNT}),
                    "output_tokens": _COUNT,
                    "output_tokens_details": _object({"reasoning_tokens": _COUNT}),
                    "total_tokens": _COUNT,
                }
            ),
        }
    ),
    "OpenAIEmbeddings": _object(
        {
            "object": {"const": "list"},
            "data": _list(_EMBEDDING),
            "model": _TEXT,
            "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
        }
    ),
    "OpenAIRanking": _object(
        {
            "id": _TEXT,
            "object": {"const": "list"},
            "model": _TEXT,
            "results": _list(_RANKED),
            "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
        }
    ),
}
"""Schemas by component name."""

ANSWERS = {
    "CreateChatCompletion": "OpenAIChatCompletion",
    "CreateCompletion": "OpenAICompletion",
    "CreateDecision": "OpenAIDecision",
    "CreateEmbedding": "OpenAIEmbeddings",
    "CreateRerank": "OpenAIRanking",
    "GetOpenAIModel": "OpenAIModel",
    "ListOpenAIModels": "OpenAIModelList",
}
"""Schema of each method's response."""
EVENTS = {"CreateChatCompletion": "OpenAIChatCompletionChunk", "CreateCompletion": "OpenAICompletionChunk"}
"""Schema of the stream events of methods that stream."""
