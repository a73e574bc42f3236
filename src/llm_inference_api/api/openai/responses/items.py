"""Items of a conversation, as pydantic models: what a request's `input` consists of, and what a response puts out."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from llm_inference_api.api.bodies import FIRST_ERROR, Json, Strict, at_most, joined_texts, validated
from llm_inference_api.errors import InvalidFieldError

MAX_ITEMS = 4096
"""Maximum number of items of an input; messages and calls may be 1,024 each, and thoughts are items too."""
MAX_PARTS = 1024
"""Maximum number of parts of an item's thoughts."""
_LONGEST_ID = 256
"""Characters. Ids are kept with the items, and are no part of the prompt, whose size is bounded."""
_TEXT_TYPES = ("input_text", "output_text", "text")
_REFUSAL = "refusal"
_MESSAGE = "message"


class TextPart(Strict):
    """A part of a text; the texts of all parts are joined by line breaks."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: Any = None
    """Ignored, as are `logprobs` and `parsed`: clients send back what they have of a response."""
    logprobs: Any = None
    parsed: Any = None
    prompt_cache_breakpoint: Any = None
    """A cache hint, which has no effect: all prefixes are cached."""


class RefusalPart(Strict):
    """A part with which another model refused to answer; it is read as a text."""

    type: Literal["refusal"]
    refusal: str


def _text_of_part(index: int, part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in (*_TEXT_TYPES, _REFUSAL):
        raise ValueError(f"part {index} is of type {kind!r}; only text is supported (no images, audio or files)")
    model, field = (RefusalPart, "refusal") if kind == _REFUSAL else (TextPart, "text")
    if unknown := sorted(part.keys() - model.model_fields.keys()):
        raise ValueError(f"part {index} has {unknown[0]!r}, which is not supported; leave it out")
    if not isinstance(part.get(field), str):
        raise ValueError(f"part {index} has no {field}")  # noqa: TRY004 - pydantic reports ValueErrors
    return str(part[field])


def _not_encrypted(value: object) -> object:
    """Raises ValueError for encrypted thoughts."""
    if value is not None:
        raise ValueError("cannot be read here; send the thoughts in clear text, as content, or leave the item out")
    return value


# json_schema_input_type: the alternative input forms, for the OpenAPI document.
Text = Annotated[
    str, BeforeValidator(joined_texts(_text_of_part), json_schema_input_type=str | list[TextPart | RefusalPart])
]
Id = Annotated[str, Field(max_length=_LONGEST_ID)]


class MessageItem(Strict):
    """A message of a chat."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Text
    id: Id | None = None
    status: Any = None
    """Ignored, as in all items: clients send back what a response had."""
    phase: Literal["commentary", "final_answer"] | None = None
    """Whether an assistant's message is the answer or on the way to it, which chat templates have no place for."""


class CallItem(Strict):
    """A call of a function that the assistant has made."""

    type: Literal["function_call"]
    call_id: Id
    name: str
    arguments: str
    id: Id | None = None
    status: Any = None
    caller: Any = None
    namespace: str | None = None


class CallOutputItem(Strict):
    """What the call of a function has given."""

    type: Literal["function_call_output"]
    call_id: Id
    output: Text
    id: Id | None = None
    status: Any = None
    caller: Any = None
    name: Any = None
    """Ignored, as is the namespace: the call has them."""
    namespace: Any = None


class ReasoningPart(Strict):
    """A part of the assistant's thoughts, or of a summary of them."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


Parts = Annotated[list[ReasoningPart], FIRST_ERROR, at_most(MAX_PARTS, "parts")]


class ReasoningItem(Strict):
    """The assistant's thoughts before a message or a call; where there is no `content`, the summary stands for it."""

    type: Literal["reasoning"]
    summary: Parts = Field(default_factory=list)
    content: Parts | None = None
    id: Id | None = None
    status: Any = None
    encrypted_content: Annotated[None, BeforeValidator(_not_encrypted)] = None

    @property
    def thoughts(self) -> str:
        """All thoughts as one text."""
        return "\n".join(part.text for part in self.content or self.summary)


class ReferenceItem(Strict):
    """An item of a stored response, by its id."""

    type: Literal["item_reference"]
    id: Id


Item = MessageItem | CallItem | CallOutputItem | ReasoningItem
GivenItem = Item | ReferenceItem
_KINDS: Mapping[str, type[GivenItem]] = {
    "message": MessageItem,
    "function_call": CallItem,
    "function_call_output": CallOutputItem,
    "reasoning": ReasoningItem,
    "item_reference": ReferenceItem,
}


def as_items(value: object) -> object:
    """Returns the items that an input is: a text is the user's message, null is none; other values unchanged."""
    if value is None:
        return []
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


def read_item(value: Json, place: Sequence[str | int]) -> GivenItem:
    """Returns an item of a request.

    Args:
        value: The JSON object.
        place: Its place in the request, such as `"input", 0`, for errors.

    Raises:
        InvalidFieldError: It is invalid, or of a type that is not supported.
    """
    kind = value.get("type") or _MESSAGE
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        name, *rest = place
        field = f"{name}{''.join(f'[{step}]' for step in rest)}.type"
        raise InvalidFieldError(field, f"{str(kind)[:50]!r} is not supported; it may be {', '.join(_KINDS)}")
    return validated(model, value, {}, *place)
