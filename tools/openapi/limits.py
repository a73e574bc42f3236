"""Limits of request fields as JSON Schema, from the constants that the service validates with."""

from typing import Any

from llm_inference_api.decisions import question
from llm_inference_api.requests import (
    adapters,
    chat,
    constraint,
    inquiry,
    json_object,
    limits,
    ranking,
    scoring,
    sizes,
    thinking,
    tools,
)
from llm_inference_api.requests.limits import RANGES, Range

Json = dict[str, Any]


def of_range(allowed: Range) -> Json:
    """Returns the JSON Schema keywords of a range."""
    low = _number(allowed.low)
    return {("exclusiveMinimum" if allowed.low_is_open else "minimum"): low, "maximum": _number(allowed.high)}


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _items(most: int, *, least: int = 0, **of_each: Any) -> Json:
    bounds: Json = {"maxItems": most}
    if least:
        bounds["minItems"] = least
    return {**bounds, "items": of_each} if of_each else bounds


SAMPLING: dict[str, Json] = {
    **{field: of_range(allowed) for field, allowed in RANGES.items()},
    "max_tokens": {"minimum": 1},
    "n": {"minimum": 1, "maximum": limits.MAX_ANSWERS},
    "dry_sequence_breakers": _items(limits.MAX_BREAKERS, minLength=1, maxLength=limits.MAX_BREAKER_BYTES),
    "stop": _items(limits.MAX_STOP, minLength=1, maxLength=limits.MAX_STOP_CHARACTERS),
    "logit_bias": {
        "maxProperties": limits.MAX_LOGIT_BIAS,
        "propertyNames": {"pattern": "^[0-9]+$"},
        "additionalProperties": of_range(limits.BIAS_RANGE),
    },
}
"""Limits of the sampling parameters, by field name; shared by all APIs."""

_TYPED: dict[str, Json] = {
    **SAMPLING,
    "seed": {"minimum": 0, "maximum": 2**32 - 1},
    "logit_bias_texts": {
        "maxProperties": limits.MAX_LOGIT_BIAS,
        "propertyNames": {"minLength": 1},
        "additionalProperties": of_range(limits.BIAS_RANGE),
    },
}
"""Those of the typed API, whose numbers have 32 bits."""

_CONSTRAINTS: dict[str, Json] = {
    name: {"minLength": 1, "maxLength": json_object.MAX_BYTES} for name in ("json_schema", "regex", "lark")
}

EFFORT: Json = {"minLength": 1, "maxLength": thinking.LONGEST_EFFORT}

LIMITS: dict[str, dict[str, Json]] = {
    "GenerateRequest": {
        **_TYPED,
        **_CONSTRAINTS,
        "prompt": {"minLength": 1, "maxLength": sizes.MAX_PROMPT_BYTES},
        "suffix": {"maxLength": sizes.MAX_PROMPT_BYTES},
    },
    "ChatRequest": {
        **_TYPED,
        **_CONSTRAINTS,
        "messages": _items(chat.MAX_MESSAGES, least=1),
        "tools": _items(tools.MAX_TOOLS),
        "reasoning_effort": EFFORT,
    },
    "Adapter": {"scale": {"minimum": -adapters.MAX_SCALE, "maximum": adapters.MAX_SCALE}},
    "ChatMessage": {"role": {"enum": list(chat.ROLES)}},
    "Choice": {"texts": _items(constraint.MAX_TEXTS, least=1, minLength=1)},
    "Tool": {"name": {"pattern": f"^{tools.TOOL_NAME.pattern}$"}},
    "EmbedRequest": {
        "texts": _items(inquiry.MAX_INPUTS, minLength=1),
        "token_lists": _items(inquiry.MAX_INPUTS),
        "dimensions": {"minimum": 1},
    },
    "RankRequest": {
        "query": {"minLength": 1, "maxLength": sizes.MAX_PROMPT_BYTES},
        "documents": _items(ranking.MAX_DOCUMENTS, least=1, minLength=1),
        "top_n": {"minimum": 1},
    },
    "TokenList": {"token_ids": _items(inquiry.MAX_TOKENS, least=1)},
    "ScoreRequest": {
        "prompt": {"minLength": 1, "maxLength": sizes.MAX_PROMPT_BYTES},
        "messages": _items(chat.MAX_MESSAGES),
        "continuations": _items(scoring.MAX_CONTINUATIONS, minLength=1),
        "continuation_tokens": _items(scoring.MAX_CONTINUATIONS),
        "top_logprobs": of_range(RANGES["top_logprobs"]),
    },
    "DecideRequest": {
        "text": {"maxLength": sizes.MAX_PROMPT_BYTES},
        "messages": _items(chat.MAX_MESSAGES),
        "questions": _items(question.MAX_QUESTIONS, least=1),
        "rotations": {"minimum": 1, "maximum": question.MAX_OPTIONS},
    },
    "Question": {"instructions": {"minLength": 1}},
    "OptionChoice": {"options": _items(question.MAX_OPTIONS, least=question.MIN_OPTIONS)},
    "Scale": {"levels": _items(question.MAX_OPTIONS, least=question.MIN_OPTIONS)},
    "Option": {"value": {"minLength": 1}},
    "TokenizeRequest": {"text": {"maxLength": sizes.MAX_PROMPT_BYTES}},
    "DetokenizeRequest": {"token_ids": _items(inquiry.MAX_TOKENS)},
}
"""Limits by message and field. Limits that depend on settings are described in the comments instead."""

REQUIRED = {
    "GenerateRequest": ["prompt"],
    "ChatRequest": ["messages"],
    "ChatMessage": ["role"],
    "Choice": ["texts"],
    "Tool": ["name"],
    "TokenList": ["token_ids"],
    "RankRequest": ["query", "documents"],
    "EmbedRequest": [],  # One of its two fields.
    "DecideRequest": ["questions"],
    "Question": ["instructions"],
    "OptionChoice": ["options"],
    "Scale": ["levels"],
    "Option": ["value"],
    "ScoreRequest": [],  # A prompt in one of three fields.
}
"""Required fields by message, which proto3 cannot express."""
