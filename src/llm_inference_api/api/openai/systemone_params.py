"""The body of `POST /v1/systemone`, as pydantic models: TypeSafe's System One API (https://api.typesafe.ai/openapi.json)."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from llm_inference_api.api.bodies import Strict, at_most
from llm_inference_api.decisions.question import MAX_OPTIONS, MAX_QUESTIONS


def text_of(content: object) -> str:
    """Returns a content as a text: texts as they are, objects and lists as JSON, null as nothing."""
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _content(value: object) -> object:
    if not isinstance(value, str | dict | list):
        raise ValueError("must be a text, or an object or a list, which is written as JSON")  # noqa: TRY004 - pydantic reports ValueErrors
    return value


def _criteria(value: object) -> object:
    if value is not None and not isinstance(value, dict | list):
        raise ValueError("must be an object of a choice's options or of `true` and `false`, or a list of levels")
    return value


Content = Annotated[Any, BeforeValidator(_content, json_schema_input_type=str | dict[str, Any] | list[Any])]
Options = dict[str, Content | None]
Levels = list[Content]


class SystemOneQuestion(Strict):
    """A question; its criteria say which answers are allowed, or when each is right."""

    type: Literal["noul", "choice", "score"]
    instructions: Content | None = None
    criteria: Annotated[
        Options | Levels | None,
        at_most(MAX_OPTIONS, "criteria"),
        BeforeValidator(_criteria, json_schema_input_type=Options | Levels | None),
    ] = None


class SystemOneParams(Strict):
    """The body of `POST /v1/systemone`."""

    model: str = ""
    state: Content
    questions: Annotated[dict[str, SystemOneQuestion], at_most(MAX_QUESTIONS, "questions")]
