"""Schemas of `/v1`: requests from their pydantic models, responses from `openai_answers`."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from llm_inference_api.api.openai.decision_params import DecisionParams
from llm_inference_api.api.openai.params import (
    IGNORED,
    UNSUPPORTED,
    ChatCompletionParams,
    CompletionParams,
    EmbeddingParams,
    RerankParams,
)
from llm_inference_api.api.openai.systemone_params import SystemOneParams
from llm_inference_api.decisions.question import MAX_OPTIONS, MAX_QUESTIONS, MIN_OPTIONS
from llm_inference_api.requests.adapters import MAX_SCALE
from llm_inference_api.requests.chat import MAX_MESSAGES
from llm_inference_api.requests.inquiry import MAX_INPUTS, MAX_TOKENS
from llm_inference_api.requests.limits import MAX_TOP_LOGPROBS, NO_LIMIT
from llm_inference_api.requests.ranking import MAX_DOCUMENTS
from llm_inference_api.requests.sizes import MAX_PROMPT_BYTES
from llm_inference_api.requests.tools import MAX_TOOLS, TOOL_NAME
from tools.openapi.contract import PACKAGE
from tools.openapi.limits import EFFORT, SAMPLING
from tools.openapi.openai_answers import ANSWER_PARTS, ANSWERS, EVENTS

Json = dict[str, Any]

_REQUESTS: dict[str, type[BaseModel]] = {
    "CreateChatCompletion": ChatCompletionParams,
    "CreateCompletion": CompletionParams,
    "CreateDecision": DecisionParams,
    "CreateEmbedding": EmbeddingParams,
    "CreateRerank": RerankParams,
    "CreateSystemOne": SystemOneParams,
}
_MAX_TOKENS: Json = {"minimum": NO_LIMIT, "not": {"const": 0}}
_BUDGET: Json = {"minimum": NO_LIMIT, "maximum": 2**32 - 1}
_COMMON: dict[str, Json] = {
    **SAMPLING,
    "max_tokens": _MAX_TOKENS,
    "n_predict": _MAX_TOKENS,
    "repeat_penalty": SAMPLING["repetition_penalty"],
    "logit_bias": {**SAMPLING["logit_bias"], "propertyNames": {"pattern": "^([0-9]{1,10}|.*[^0-9].*)$"}},
}
_LIMITS: dict[str, dict[str, Json]] = {
    "ChatCompletionParams": {
        **_COMMON,
        "max_completion_tokens": _MAX_TOKENS,
        "messages": {"minItems": 1, "maxItems": MAX_MESSAGES},
        "tools": {"maxItems": MAX_TOOLS},
        "reasoning_effort": EFFORT,
        "thinking_budget": _BUDGET,
        "thinking_token_budget": _BUDGET,
        "thinking_budget_tokens": _BUDGET,
        "reasoning_budget_tokens": _BUDGET,
    },
    "CompletionParams": {
        **_COMMON,
        "max_tokens": {"minimum": NO_LIMIT},
        "n_predict": {"minimum": NO_LIMIT},
        "logprobs": {"minimum": 0, "maximum": MAX_TOP_LOGPROBS},
        "suffix": {"maxLength": MAX_PROMPT_BYTES},
    },
    "DecisionParams": {
        "questions": {"minItems": 1, "maxItems": MAX_QUESTIONS},
    },
    "DecisionQuestion": {
        "choices": {"minItems": MIN_OPTIONS, "maxItems": MAX_OPTIONS},
        "levels": {"minItems": MIN_OPTIONS, "maxItems": MAX_OPTIONS},
    },
    "EmbeddingParams": {"dimensions": {"minimum": 1}},
    "RerankParams": {
        "query": {"minLength": 1, "maxLength": MAX_PROMPT_BYTES},
        "documents": {"minItems": 1, "maxItems": MAX_DOCUMENTS},
        "top_n": {"minimum": 1},
    },
    "SystemOneParams": {
        "questions": {"minProperties": 1, "maxProperties": MAX_QUESTIONS},
    },
    "AdapterParam": {"scale": {"minimum": -MAX_SCALE, "maximum": MAX_SCALE}},
    "ReasoningParam": {"effort": EFFORT, "max_tokens": _BUDGET},
    "ThinkingParam": {"budget_tokens": _BUDGET},
    "FunctionParam": {"name": {"pattern": f"^{TOOL_NAME.pattern}$"}},
}


_TOKENS = {"type": "array", "minItems": 1, "maxItems": MAX_TOKENS, "items": {"type": "integer", "minimum": 0}}


def _texts(**text: Any) -> Json:
    """Returns the schema of a text with these limits, token ids, or a list of one of the two.

    pydantic has the four types, but not their limits.
    """
    texts: Json = {"type": "string", **text}
    lists = ({"type": "array", "minItems": 1, "maxItems": MAX_INPUTS, "items": items} for items in (texts, _TOKENS))
    return {"anyOf": [texts, _TOKENS, *lists]}


_INPUTS = {
    "EmbeddingParams.input": _texts(minLength=1),
    "CompletionParams.prompt": _texts(maxLength=MAX_PROMPT_BYTES),
}
"""Schemas of the fields that are several texts."""


class _Plain(GenerateJsonSchema):
    """Generates schemas without titles, which pydantic derives from the names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's
        """Returns False: no field has a title."""
        return False


def request(method: str, made: dict[str, Json], comments: dict[str, str]) -> Json:
    """Returns a reference to a method's request schema.

    Args:
        method: Name of the method.
        made: Schemas of the document; those of the request are added.
        comments: Comments of the protos, which describe the fields that both APIs share.
    """
    model = _REQUESTS[method]
    schema = plain_schema(model, "#/components/schemas/OpenAI{model}")
    parts = schema.pop("$defs", {})
    for name, part in {**parts, model.__name__: schema}.items():
        made[f"OpenAI{name}"] = _tidy(name, part, comments)
    return {"$ref": f"#/components/schemas/OpenAI{model.__name__}"}


def plain_schema(model: type[BaseModel], template: str) -> Json:
    """Returns the schema of a model without titles; `template` makes references to its parts."""
    return model.model_json_schema(ref_template=template, schema_generator=_Plain)


def limited(schema: Json, limits: dict[str, Json], describe: Callable[[str], str]) -> Json:
    """Returns the schema of an object with the limits of its fields, and their descriptions."""
    schema.pop("title", None)
    properties = schema.get("properties", {})
    for field, found in properties.items():
        found.pop("default", None)
        for keyword, value in limits.get(field, {}).items():
            _limit(found, keyword, value)
        properties[field] = _plain(found)
        if words := describe(field):
            properties[field]["description"] = words
    return schema


def response(method: str, made: dict[str, Json]) -> Json:
    """Returns a reference to a method's response schema; adds the schemas of responses to `made`."""
    made.update(ANSWER_PARTS)
    return _refer(ANSWERS[method])


def events(method: str, made: dict[str, Json]) -> Json | None:
    """Returns a reference to the schema of a method's stream events; None if it does not stream."""
    made.update(ANSWER_PARTS)
    return _refer(EVENTS[method]) if method in EVENTS else None


def _refer(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _tidy(name: str, schema: Json, comments: dict[str, str]) -> Json:
    properties = schema.get("properties", {})
    properties.update({field: _INPUTS[f"{name}.{field}"] for field in properties if f"{name}.{field}" in _INPUTS})
    limited(schema, _LIMITS.get(name, {}), lambda field: _description(name, field, comments))
    ends = (*UNSUPPORTED, *IGNORED)
    schema["properties"] = dict(sorted(properties.items(), key=lambda item: item[0] in ends))
    return schema


def _description(name: str, field: str, comments: dict[str, str]) -> str:
    if not name.endswith("Params"):
        return ""
    if field in UNSUPPORTED:
        return f"Not supported: {UNSUPPORTED[field]}."
    if field in IGNORED:
        return _WORDS.get(field) or "Accepted, but ignored."
    typed = "GenerateRequest" if name == "CompletionParams" else "ChatRequest"
    return _WORDS.get(f"{name}.{field}") or _WORDS.get(field) or comments.get(f"{PACKAGE}.{typed}.{field}", "")


_WORDS = {
    "best_of": "Must equal `n`: answers are not ranked.",
    "echo": "Whether the text begins with the prompt; `logprobs` are then those of the prompt too.",
    "SystemOneParams.questions": "1 to 400 questions by name; the answers have the names. None knows of the others.",
    "SystemOneParams.state": "What the questions are about: a text, or an object or a list, which is written as JSON.",
    "DecisionParams.input": "What the questions are about: a text, or messages, calls of tools and their results.",
    "questions": "1 to 400 questions. None knows of the others; the answers have their order.",
    "encoding_format": "Encoding of vectors. Default: `float`.",
    "input": "The texts, or their token ids.",
    "dimensions": "Number of leading components to keep, for models that were trained so. Default: all.",
    "logit_bias": "Added to the logits of tokens, by token id, or by a text with anything but digits: -100 to 100.",
    "max_completion_tokens": "The same as `max_tokens`.",
    "max_tokens": (
        "Maximum number of tokens to generate; -1 leaves it to the service. More than the service's limit or than the "
        "prompt leaves of the context is lowered to that; `max_tokens` of the choice says to what."
    ),
    "n_predict": "The same as `max_tokens`.",
    "modalities": "Only `text` is supported.",
    "prompt": "The text to continue, its token ids, or a list of several; each has `n` choices.",
    "prompt_cache_key": "With several replicas, requests with the same key are routed to the same one; else ignored.",
    "repeat_penalty": "The same as `repetition_penalty`.",
    "seed": "Seed, any integer of 64 bits: it modulo 2^32 - 1 is used, and stands in the answer. -1: a random one.",
    "response_format": "Format of the answer: text, a JSON object, or JSON by a schema.",
    "stop": "Stop sequence, or a list of them; generation ends where one occurs.",
    "stream": "Whether the answer is streamed as server-sent events. Default: false.",
    "stream_options": "Options of a stream.",
    "ChatCompletionParams.suffix": "Not supported: an answer of a chat has none.",
    "CompletionParams.logprobs": "Number of most probable tokens to list at each position.",
}
"""Descriptions of fields that the typed API lacks or defines differently."""


def _plain(schema: Json) -> Json:
    """Returns the schema; a nullable type in the short form `"type": [kind, "null"]`."""
    match schema:
        case {"anyOf": [{"type": str(kind), **rest}, {"type": "null"}]} if "const" not in rest and "enum" not in rest:
            return {"type": [kind, "null"], **rest}
        case _:
            return schema


_KINDS = {
    "array": ("minItems", "maxItems", "items"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "not"),
    "number": ("minimum", "maximum", "exclusiveMinimum"),
    "object": ("maxProperties", "propertyNames", "additionalProperties"),
    "string": ("minLength", "maxLength", "pattern"),
}


def _limit(schema: Json, keyword: str, value: Any) -> None:
    """Adds a keyword to those alternatives of a schema whose type it applies to."""
    for alternative in schema.get("anyOf", [schema]):
        if keyword in _KINDS.get(str(alternative.get("type")), ()):
            is_schema = isinstance(value, dict)
            alternative[keyword] = {**alternative.get(keyword, {}), **value} if is_schema else value
