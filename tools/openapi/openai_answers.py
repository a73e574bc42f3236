"""Schemas of OpenAI's response objects as `api/openai/writers.py` writes them; the fuzz test compares the two."""

from typing import Any

from tools.openapi.decision_answers import DECISION, SYSTEM_ONE
from tools.openapi.json_schemas import COUNT, TEXT, list_of, object_of

Json = dict[str, Any]

_TEXT_OR_NULL: Json = {"type": ["string", "null"]}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _refer(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_FINISH: Json = {"enum": ["stop", "length", "tool_calls", None]}
_USAGE = object_of(
    {
        "prompt_tokens": COUNT,
        "completion_tokens": COUNT,
        "total_tokens": COUNT,
        "prompt_tokens_details": object_of({"cached_tokens": COUNT}),
        "completion_tokens_details": object_of({"reasoning_tokens": COUNT}),
    },
    description="Token usage of the request.",
)
_TOKEN = {"token": TEXT, "logprob": {"type": "number"}, "bytes": list_of({"type": "integer", "maximum": 255})}
_CHAT_LOGPROBS = object_of(
    {
        "content": list_of(object_of({**_TOKEN, "top_logprobs": list_of(object_of(_TOKEN))})),
        "refusal": {"type": "null"},
    },
    description="Log probabilities of the tokens, when the request asked for them.",
)
_COMPLETION_LOGPROBS = object_of(
    {
        "tokens": list_of(TEXT),
        "token_logprobs": list_of({"type": "number"}),
        "top_logprobs": list_of({"type": "object", "additionalProperties": {"type": "number"}}),
        "text_offset": list_of(COUNT),
    },
    description="Log probabilities of the tokens, when the request asked for them.",
)
_CALL = object_of(
    {"id": TEXT, "type": {"const": "function"}, "function": object_of({"name": TEXT, "arguments": TEXT})},
    description="A tool call.",
)
_CALL_PART = object_of(
    {
        "index": COUNT,
        "id": TEXT,
        "type": {"const": "function"},
        "function": object_of({"name": TEXT, "arguments": TEXT}, optional=("name",)),
    },
    optional=("id", "type"),
    description="A delta of a tool call; only the first one has an id and a name.",
)
_MESSAGE = object_of(
    {
        "role": {"const": "assistant"},
        "content": _TEXT_OR_NULL,
        "refusal": {"type": "null"},
        "reasoning_content": TEXT,
        "tool_calls": list_of(_refer("OpenAICall")),
    },
    optional=("reasoning_content", "tool_calls"),
    description="The answer.",
)
_DELTA = object_of(
    {
        "role": {"const": "assistant"},
        "content": TEXT,
        "reasoning_content": TEXT,
        "tool_calls": list_of(_refer("OpenAICallPart")),
    },
    optional=("role", "content", "reasoning_content", "tool_calls"),
    description="Delta of the answer.",
)


_NUMBER: Json = {"type": "number", "minimum": 0}
_TIMINGS = object_of(
    {
        "queue_ms": _NUMBER,
        "cache_n": COUNT,
        "prompt_n": COUNT,
        "prompt_ms": _NUMBER,
        "prompt_per_second": _NUMBER,
        "predicted_n": COUNT,
        "predicted_ms": _NUMBER,
        "predicted_per_second": _NUMBER,
    },
    description="How long the parts of the request took, where it set `timings`; as in llama.cpp's server.",
)
_PROGRESS = object_of(
    {"total": COUNT, "cache": COUNT, "processed": COUNT, "time_ms": COUNT},
    description="Tokens of the prompt, where the request set `return_progress`: all, reused, and computed or reused.",
)


def _answer(kind: str, choice: Json, usage: Json, *, optional: tuple[str, ...] = ()) -> Json:
    head = {
        "id": TEXT,
        "object": {"const": kind},
        "created": COUNT,
        "model": TEXT,
        "system_fingerprint": TEXT,
        "seed": COUNT,
    }
    timings = {"timings": _refer("OpenAITimings")}
    return object_of({**head, "choices": list_of(choice), "usage": usage, **timings}, optional=("timings", *optional))


def _chunk(kind: str, choice: Json) -> Json:
    schema = _answer(kind, choice, _or_null(_refer("OpenAIUsage")), optional=("usage",))
    schema["properties"]["prompt_progress"] = _PROGRESS
    return schema


def _choice(*, streamed: bool = False, **fields: Json) -> Json:
    limit = {**COUNT, "description": "Number of tokens that the answer could have; beside a finish reason only."}
    optional = ("max_tokens",) if streamed else ()
    return object_of({"index": COUNT, **fields, "finish_reason": _FINISH, "max_tokens": limit}, optional=optional)


_COMPLETION_LOGPROBS_OR_NULL = _or_null(_COMPLETION_LOGPROBS)
_THINKING = object_of(
    {"can_be_off": {"type": "boolean"}, "efforts": list_of(TEXT), "by_default": {"type": "boolean"}},
    description="What requests may say of thinking.",
)
_MODEL = object_of(
    {
        "id": TEXT,
        "object": {"const": "model"},
        "created": COUNT,
        "owned_by": TEXT,
        "parent": _or_null(TEXT),
        "max_model_len": {
            "type": ["integer", "null"],
            "description": "Tokens of a prompt and its answer together; null before the model is first loaded.",
        },
        "thinking": _or_null(_THINKING),
    },
    description="A served model.",
)
_EMBEDDING = object_of(
    {
        "object": {"const": "embedding"},
        "index": COUNT,
        "embedding": {
            "description": "The vector as numbers, or as base64 of its little-endian F32 bytes.",
            "anyOf": [list_of({"type": "number"}), {"type": "string", "contentEncoding": "base64"}],
        },
    }
)
_RANKED = object_of(
    {
        "index": COUNT,
        "relevance_score": {"type": "number", "minimum": 0, "maximum": 1},
        "document": object_of({"text": TEXT}),
    },
    optional=("document",),
)
_USAGE_REF = _refer("OpenAIUsage")


def _with_ignored(answer: Json) -> Json:
    """Returns the schema of a chat's answer with the extension that names what is not followed of tools' schemas."""
    description = "Names of the tools' keywords that the answer does not follow, because they cannot be enforced."
    return {
        **answer,
        "properties": {**answer["properties"], "ignored_keywords": {**list_of(TEXT), "description": description}},
    }


ANSWER_PARTS: dict[str, Json] = {
    "OpenAITimings": _TIMINGS,
    "OpenAIUsage": _USAGE,
    "OpenAICall": _CALL,
    "OpenAICallPart": _CALL_PART,
    "OpenAIAnswer": _MESSAGE,
    "OpenAIModel": _MODEL,
    "OpenAIModelList": object_of({"object": {"const": "list"}, "data": list_of(_refer("OpenAIModel"))}),
    "OpenAIChatCompletion": _with_ignored(
        _answer(
            "chat.completion", _choice(message=_refer("OpenAIAnswer"), logprobs=_or_null(_CHAT_LOGPROBS)), _USAGE_REF
        )
    ),
    "OpenAIChatCompletionChunk": _with_ignored(
        _chunk("chat.completion.chunk", _choice(streamed=True, delta=_DELTA, logprobs=_or_null(_CHAT_LOGPROBS)))
    ),
    "OpenAICompletion": _answer(
        "text_completion", _choice(text=TEXT, logprobs=_COMPLETION_LOGPROBS_OR_NULL), _USAGE_REF
    ),
    "OpenAICompletionChunk": _chunk(
        "text_completion", _choice(streamed=True, text=TEXT, logprobs=_COMPLETION_LOGPROBS_OR_NULL)
    ),
    "OpenAIDecision": DECISION,
    "OpenAISystemOne": SYSTEM_ONE,
    "OpenAIEmbeddings": object_of(
        {
            "object": {"const": "list"},
            "data": list_of(_EMBEDDING),
            "model": TEXT,
            "usage": object_of({"prompt_tokens": COUNT, "total_tokens": COUNT}),
        }
    ),
    "OpenAIRanking": object_of(
        {
            "id": TEXT,
            "object": {"const": "list"},
            "model": TEXT,
            "results": list_of(_RANKED),
            "usage": object_of({"prompt_tokens": COUNT, "total_tokens": COUNT}),
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
    "CreateSystemOne": "OpenAISystemOne",
    "GetOpenAIModel": "OpenAIModel",
    "ListOpenAIModels": "OpenAIModelList",
}
"""Schema of each method's response."""
EVENTS = {"CreateChatCompletion": "OpenAIChatCompletionChunk", "CreateCompletion": "OpenAICompletionChunk"}
"""Schema of the stream events of methods that stream."""
