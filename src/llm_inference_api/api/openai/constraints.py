"""Reads what restricts an answer's text, by the names that OpenAI's clients and those of other servers have for it."""

import json
from collections.abc import Iterator
from typing import Any

from llm_inference_api.api.openai.params import ChatCompletionParams, CompletionParams, ResponseFormat
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.constraint import Constraint, read_constraint

_KINDS = {
    "json_schema": "json_schema",
    "regex": "regex",
    "grammar": "grammar",
    "ebnf": "grammar",
    "guided_json": "json_schema",
    "guided_regex": "regex",
    "guided_choice": "choice",
    "guided_grammar": "grammar",
    "structured_outputs.json": "json_schema",
    "structured_outputs.json_object": "json_object",
    "structured_outputs.regex": "regex",
    "structured_outputs.choice": "choice",
    "structured_outputs.grammar": "grammar",
}
"""What each field has, see `read_constraint`; a `grammar` is GBNF or Lark."""


def constraint_of(params: ChatCompletionParams | CompletionParams) -> Constraint | None:
    """Returns the constraint of a request. Raises InvalidFieldError if it is not valid, or there are several."""
    found = [*_given(params)]
    if not found:
        return None
    (field, kind, value), *others = found
    if others:
        raise InvalidFieldError(others[0][0], f"contradicts {field}; leave one of them out")
    return read_constraint(kind, value, ignore_eos=bool(params.ignore_eos), field=field)


def _given(params: ChatCompletionParams | CompletionParams) -> Iterator[tuple[str, str, Any]]:
    """Yields the fields that restrict the text, with the kinds and values of what they have."""
    if params.response_format is not None:
        yield from _of_format(params.response_format)
    values = params.model_dump(by_alias=True, include={name.partition(".")[0] for name in _KINDS})
    for field, kind in _KINDS.items():
        outer, _, inner = field.partition(".")
        value = (values[outer] or {}).get(inner) if inner else values[outer]
        if value is None or value is False or value == "":
            continue
        language = ("gbnf" if "::=" in value else "lark") if kind == "grammar" else kind
        yield field, language, json.dumps(value) if isinstance(value, dict) else value


def _of_format(wanted: ResponseFormat) -> Iterator[tuple[str, str, Any]]:
    nested, schema = wanted.json_schema, wanted.schema_
    if nested is not None and wanted.type != "json_schema":
        raise InvalidFieldError("response_format", "json_schema is allowed for the type json_schema only")
    if schema is not None and (wanted.type == "text" or nested is not None):
        raise InvalidFieldError("response_format.schema", "is allowed for JSON only, and instead of json_schema")
    if wanted.type == "json_schema" and nested is None and schema is None:
        raise InvalidFieldError("response_format", "json_schema is required for the type json_schema")
    if nested is not None:
        schema = nested.schema_ or {}
    if wanted.type != "text":
        yield "response_format", wanted.type, True if schema is None else json.dumps(schema)
