"""What clients may send to `/v1`, field by field.

Every field is honoured, or refused with its name. Those that may be ignored are listed, with the reason.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.inquiry import Input

_SHOWN = 100
"""Characters of a wrong value that an error repeats."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TextPart(_Strict):
    """A part of a message's content; the parts' texts are joined."""

    type: Literal["text"]
    text: str
    # Hints for caches mean nothing here: every prefix is cached.
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None


def _text_of(value: object) -> object:
    """Returns the text of a message's content: one text, a list of text parts, or null."""
    if not isinstance(value, list):
        return value
    return "".join(_text_of_part(index, part) for index, part in enumerate(value))


def _text_of_part(index: int, part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text" or not isinstance(part, dict):
        raise ValueError(f"part {index} is of type {kind!r}; only text is understood (no images, audio or files)")
    if unknown := sorted(part.keys() - TextPart.model_fields.keys()):
        raise ValueError(f"part {index} has {unknown[0]!r}, which this service does not know; leave it out")
    if not isinstance(part.get("text"), str):
        raise ValueError(f"part {index} has no text")  # noqa: TRY004 - pydantic reports ValueErrors
    return str(part["text"])


def _inputs(value: object) -> object:
    """Returns what to embed as a list of texts and token lists: one of either, or a list of one kind."""
    items = value if isinstance(value, list) and not (value and _is_token(value[0])) else [value]
    for index, item in enumerate(items):
        if type(item) is not type(items[0]):
            raise ValueError("has texts and token lists; send a request for each kind")
        if not isinstance(item, str) and not (isinstance(item, list) and all(map(_is_token, item))):
            raise ValueError(f"must be a text, a list of texts, token ids or a list of those; see item {index}")
    return [Input(f"input[{index}]" if items is value else "input", _content(item)) for index, item in enumerate(items)]


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _content(item: str | list[int]) -> str | tuple[int, ...]:
    return item if isinstance(item, str) else tuple(item)


def _no(value: object) -> object:
    """Returns false. JSON's 0 is no false, though Python says that they are equal."""
    if value is not False:
        raise ValueError("must be false, or left out")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


# What is read beside the plain form is said to those who make a schema of it.
Text = Annotated[str, BeforeValidator(_text_of, json_schema_input_type=str | list[TextPart])]
No = Annotated[Literal[False], BeforeValidator(_no)]
Stop = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str])]
Inputs = Annotated[
    list[Any], BeforeValidator(_inputs, json_schema_input_type=str | list[str] | list[int] | list[list[int]])
]


class CalledFunction(_Strict):
    """What a call calls."""

    name: str
    arguments: str


class ToolCallParam(_Strict):
    """A call that the assistant made."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Any = None
    """Clients that put an answer together from a stream send its parts' numbers back."""


class ChatMessageParam(_Strict):
    """One message of a chat."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: Text | None = None
    name: str | None = None
    tool_calls: list[ToolCallParam] | None = None
    tool_call_id: str | None = None
    # Of answers, which clients send back as they came. Thoughts are not for the next answer.
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Any = None
    reasoning_content: Any = None
    provider_specific_fields: Any = None
    """LiteLLM's, which it adds to each answer."""


class FunctionParam(_Strict):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolParam(_Strict):
    """A tool; functions are the only kind."""

    type: Literal["function"]
    function: FunctionParam


class FunctionName(_Strict):
    """Names a function."""

    name: str


def _named(value: object) -> object:
    """Returns the object form of a choice that is a word, so that an error names the field and no alternative."""
    return {"mode": value} if isinstance(value, str) else value


class ToolChoiceParam(_Strict):
    """Whether tools may or must be called: a mode, or the tool."""

    mode: Literal["none", "auto", "required"] | None = None
    type: Literal["function"] | None = None
    function: FunctionName | None = None


class NamedTool(_Strict):
    """The tool that must be called."""

    type: Literal["function"]
    function: FunctionName


Mode = Literal["none", "auto", "required"]
Choice = Annotated[ToolChoiceParam, BeforeValidator(_named, json_schema_input_type=Mode | NamedTool)]


class JsonSchemaFormat(_Strict):
    """The schema of `response_format`. With `strict` or without, the answer matches it."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(_Strict):
    """What the answer's text is to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class StreamOptions(_Strict):
    """What a stream carries beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: No | None = None


UNSUPPORTED = {
    "audio": "sound cannot be generated; leave it out",
    "dimensions": "vectors have the model's own length; leave it out",
    "echo": "the prompt cannot be repeated in the answer; leave it out",
    "function_call": "it is deprecated; use tool_choice",
    "functions": "they are deprecated; use tools",
    "reasoning_effort": "it cannot be set; leave it out",
    "suffix": "inserting text before a suffix is not supported; leave it out",
    "web_search_options": "the service does not search the web; leave it out",
}
"""Fields that other services know, and what to do without them."""


class _Unsupported(_Strict):
    """The same fields: null is as if left out."""

    audio: None = None
    echo: No | None = None
    function_call: None = None
    functions: None = None
    reasoning_effort: None = None
    suffix: None = None
    web_search_options: None = None


class _Ignored(_Unsupported):
    """Fields without a meaning for a service on one's own machine: who asks, and what OpenAI keeps or charges."""

    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    """An Envoy in front of several replicas reads it (envoy/affinity.lua)."""
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    verbosity: Any = None
    moderation: Any = None
    prediction: Any = None


IGNORED = tuple(_Ignored.__annotations__)
"""Names of these fields."""


class _Common(_Ignored):
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Stop | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Not OpenAI's, but the names that clients of other servers send.
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    ignore_eos: bool | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to end with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatCompletionParams(_Common):
    """The body of `POST /v1/chat/completions`."""

    messages: list[ChatMessageParam]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    modalities: list[Literal["text"]] | None = None
    tools: list[ToolParam] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None


class CompletionParams(_Common):
    """The body of `POST /v1/completions`."""

    prompt: str | list[str]
    logprobs: int | None = None
    best_of: int | None = None


class EmbeddingParams(_Strict):
    """The body of `POST /v1/embeddings`."""

    model: str = ""
    input: Inputs
    """An `Input` each."""
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: None = None
    user: Any = None


Params = TypeVar("Params", bound=_Strict)


def parse(kind: type[Params], body: bytes) -> Params:
    """Returns the request of an HTTP body. Raises InvalidFieldError with the first of its problems."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = _path(problem["loc"])
        raise InvalidFieldError(field or "body", _describe(field, dict(problem))) from error


def _path(location: tuple[int | str, ...]) -> str:
    """Returns a field's path as in `messages[0].content`, without the names that pydantic gives alternatives."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in ("str", "mode") and not step.startswith(("list[", "function-", "literal[")):
            path += f".{step}" if path else step
    return path


def _describe(field: str, problem: dict[str, Any]) -> str:
    if field in UNSUPPORTED:
        return UNSUPPORTED[field]
    kind, message = problem["type"], str(problem["msg"])
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return "is not a parameter that this service knows; leave it out"
    if kind == "missing":
        return "is missing"
    if kind == "json_invalid":
        return f"is no valid JSON ({problem['ctx']['error']})"
    shown = repr(problem["input"])
    return f"{message[:1].lower()}{message[1:]}, not {shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '…'}"
