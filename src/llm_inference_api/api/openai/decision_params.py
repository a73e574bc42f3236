"""The body of `POST /v1/decisions`, as pydantic models."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from llm_inference_api.api.bodies import FIRST_ERROR, Strict, at_most, joined_texts
from llm_inference_api.decisions.question import MAX_OPTIONS, MAX_QUESTIONS
from llm_inference_api.requests.chat import MAX_MESSAGES

_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Field with the text of a part, by the part's type."""


class DecisionPart(Strict):
    """A part of a content; the texts of all parts are joined by line breaks, data are written as JSON."""

    type: Literal["input_text", "output_text", "refusal", "input_json"]
    text: str | None = None
    refusal: str | None = None
    data: dict[str, Any] | list[dict[str, Any]] | None = None
    prompt_cache_breakpoint: Any = None


def _text_of_part(index: int, part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind == "input_json" and isinstance(part.get("data"), dict | list):
        return json.dumps(part["data"], ensure_ascii=False)
    text = part.get(_TEXTS[kind]) if isinstance(part, dict) and isinstance(kind, str) and kind in _TEXTS else None
    if not isinstance(text, str):
        raise ValueError(f"part {index} is of type {kind!r} or has no text; only text and JSON are supported")  # noqa: TRY004 - pydantic reports ValueErrors
    return text


DecisionText = Annotated[
    str, BeforeValidator(joined_texts(_text_of_part), json_schema_input_type=str | list[DecisionPart])
]


class DecisionItem(Strict):
    """A message, a call of a tool, or a call's result."""

    type: Literal["message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"] = (
        "message"
    )
    role: Literal["user", "developer", "system", "assistant"] | None = None
    content: DecisionText | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    output: DecisionText | None = None
    # What clients send back of answers has no effect.
    id: Any = None
    status: Any = None
    namespace: Any = None
    phase: Any = None


class DecisionChoice(Strict):
    """An option of a choice."""

    value: str | bool
    description: str | None = None

    @property
    def text(self) -> str:
        """The value as the model would write it."""
        return self.value if isinstance(self.value, str) else str(self.value).lower()


class DecisionLevel(Strict):
    """A level of a scale."""

    label: str
    description: str | None = None


class DecisionQuestion(Strict):
    """A question; `choices` belong to a choice, `levels` to a score."""

    type: Literal["predicate", "choice", "score"]
    instructions: DecisionText
    name: str | None = None
    choices: Annotated[list[DecisionChoice], FIRST_ERROR, at_most(MAX_OPTIONS, "options")] | None = None
    levels: Annotated[list[DecisionLevel], FIRST_ERROR, at_most(MAX_OPTIONS, "levels")] | None = None


def _as_items(value: object) -> object:
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


class DecisionParams(Strict):
    """The body of `POST /v1/decisions`."""

    model: str = ""
    input: Annotated[
        list[DecisionItem],
        FIRST_ERROR,
        at_most(MAX_MESSAGES, "items"),
        BeforeValidator(_as_items, json_schema_input_type=str | list[DecisionItem]),
    ]
    questions: Annotated[list[DecisionQuestion], FIRST_ERROR, at_most(MAX_QUESTIONS, "questions")]
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    safety_identifier: Any = None
