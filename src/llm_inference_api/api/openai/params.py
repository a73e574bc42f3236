"""Request parameters of the endpoints below `/v1`, as pydantic models.

Unknown and unsupported fields are rejected by name. Fields without effect here are accepted if listed in `_Ignored`.
"""

from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
)

from llm_inference_api.api import bodies
from llm_inference_api.api.bodies import FIRST_ERROR, No, Strict, at_most, joined_texts
from llm_inference_api.requests.chat import MAX_MESSAGES
from llm_inference_api.requests.inquiry import MAX_INPUTS, Input
from llm_inference_api.requests.limits import MAX_LOGIT_BIAS, MAX_STOP
from llm_inference_api.requests.tools import MAX_CALLS, MAX_TOOLS

MAX_DETAILS = 1024
"""Maximum number of `reasoning_details` of a message."""


class TextPart(Strict):
    """A part of a message's content; the texts of all parts are joined by line breaks."""

    type: Literal["text"]
    text: str
    # Cache hints have no effect: all prefixes are cached.
    cache_control: Any = None
    prompt_cache_breakpoint: Any = None


def _text_of_part(index: int, part: object) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text" or not isinstance(part, dict):
        raise ValueError(f"part {index} is of type {kind!r}; only text is supported (no images, audio or files)")
    if unknown := sorted(part.keys() - TextPart.model_fields.keys()):
        raise ValueError(f"part {index} has {unknown[0]!r}, which is not supported; leave it out")
    if not isinstance(part.get("text"), str):
        raise ValueError(f"part {index} has no text")  # noqa: TRY004 - pydantic reports ValueErrors
    return str(part["text"])


def _inputs(value: object, name: str = "input") -> object:
    """Returns the inputs as a list of `Input`, from a text, a token list, or a list of texts or of token lists."""
    items = value if isinstance(value, list) and not (value and _is_token(value[0])) else [value]
    if not 1 <= len(items) <= MAX_INPUTS:
        raise ValueError(f"must have 1 to {MAX_INPUTS} items, not {len(items)}")
    for index, item in enumerate(items):
        if type(item) is not type(items[0]):
            raise ValueError("mixes texts and token lists; send a request for each kind")
        if not isinstance(item, str) and not (isinstance(item, list) and all(map(_is_token, item))):
            raise ValueError(f"must be a text, a list of texts, token ids or a list of those; see item {index}")
    return [Input(f"{name}[{index}]" if items is value else name, _content(item)) for index, item in enumerate(items)]


def _is_token(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _content(item: str | list[int]) -> str | tuple[int, ...]:
    return item if isinstance(item, str) else tuple(item)


def _yes(value: object) -> object:
    """Returns True. Raises ValueError for any other value, also for 1, which equals True in Python."""
    if value is not True:
        raise ValueError("must be true, or left out: thoughts are always apart from the content")
    return value


def _no_effort(value: object) -> object:
    """Raises ValueError for an effort beside a prompt."""
    if value is not None:
        raise ValueError("is for chats, whose template is told how much to think; leave it out")
    return value


def _no_suffix(value: object) -> object:
    """Raises ValueError for a suffix of a chat."""
    if value is not None:
        raise ValueError("an answer of a chat has none; send prompt and suffix to /v1/completions")
    return value


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


# json_schema_input_type: the alternative input forms, for the OpenAPI document.
Text = Annotated[str, BeforeValidator(joined_texts(_text_of_part), json_schema_input_type=str | list[TextPart])]
Stop = Annotated[
    list[str],
    FIRST_ERROR,
    at_most(MAX_STOP, "texts"),
    BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
]
Inputs = Annotated[
    list[Any], BeforeValidator(_inputs, json_schema_input_type=str | list[str] | list[int] | list[list[int]])
]
Prompts = Annotated[
    list[Any],
    BeforeValidator(
        partial(_inputs, name="prompt"), json_schema_input_type=str | list[str] | list[int] | list[list[int]]
    ),
]


class CalledFunction(Strict):
    """Function name and arguments of a tool call."""

    name: str
    arguments: str | None = None


class ToolCallParam(Strict):
    """A tool call made by the assistant."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Any = None
    """Ignored. Clients that assemble an answer from a stream send the chunks' index back."""


class ChatMessageParam(Strict):
    """One message of a chat."""

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: Text | None = None
    name: str | None = None
    tool_calls: Annotated[list[ToolCallParam], FIRST_ERROR, at_most(MAX_CALLS, "tool calls")] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    """The assistant's thoughts before its content; part of the prompt where the model's chat template renders them."""
    reasoning: str | None = None
    """Another name of `reasoning_content`."""
    reasoning_details: Annotated[list[dict[str, Any]], FIRST_ERROR, at_most(MAX_DETAILS, "details")] | None = None
    """Another form of `reasoning_content`: objects with `text` or `summary`."""
    # Fields of answers, which clients send back in the next request.
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Any = None
    provider_specific_fields: Any = None
    """Added to each answer by LiteLLM."""


class FunctionParam(Strict):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolParam(Strict):
    """A tool; only functions are supported."""

    type: Literal["function"]
    function: FunctionParam


class FunctionName(Strict):
    """Name of a function."""

    name: str


def _named(value: object) -> object:
    """Returns the object form of a mode, so that errors name the field instead of a member of a union."""
    return {"mode": value} if isinstance(value, str) else value


class ToolChoiceParam(Strict):
    """Tool choice: a mode, or the function to call."""

    mode: Literal["none", "auto", "required"] | None = None
    type: Literal["function"] | None = None
    function: FunctionName | None = None


class NamedTool(Strict):
    """Tool choice that forces the call of one function."""

    type: Literal["function"]
    function: FunctionName


Mode = Literal["none", "auto", "required"]
Choice = Annotated[ToolChoiceParam, BeforeValidator(_named, json_schema_input_type=Mode | NamedTool)]


class JsonSchemaFormat(Strict):
    """The schema of `response_format`. The answer always matches it, with or without `strict`."""

    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Strict):
    """Constraint of the answer's text: none, any JSON object, or a JSON Schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    """The schema where llama.cpp's clients give it, for both kinds of JSON."""


class StructuredOutputs(Strict):
    """Constraint of the answer's text, as vLLM's clients give it."""

    json_: dict[str, Any] | str | None = Field(None, alias="json")
    json_object: bool | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    # What is so in any case: JSON has no white space, objects have the listed properties only.
    disable_any_whitespace: Any = None
    disable_additional_properties: Any = None
    disable_fallback: Any = None
    whitespace_pattern: None = None
    structural_tag: None = None


class StreamOptions(Strict):
    """Options of a stream."""

    include_usage: bool | None = None
    include_obfuscation: No | None = None


UNSUPPORTED = {
    "audio": "only text can be generated; leave it out",
    "function_call": "it is deprecated; use tool_choice",
    "functions": "they are deprecated; use tools",
    "guided_whitespace_pattern": "JSON is written without white space; leave it out",
    "pooling": "it is the model's own, with one vector for each text; leave it out",
    "reasoning_budget_message": "thoughts are closed without one; leave it out",
    "structured_outputs.structural_tag": "it is not supported; tools say what may be called",
    "structured_outputs.whitespace_pattern": "JSON is written without white space; leave it out",
    "web_search_options": "the service does not search the web; leave it out",
}
"""Error messages for known fields of OpenAI's API that are not supported."""


class _Unsupported(Strict):
    """The unsupported fields; null, or false where listed, is accepted."""

    audio: None = None
    function_call: None = None
    functions: None = None
    guided_whitespace_pattern: None = None
    web_search_options: None = None


class _Ignored(_Unsupported):
    """Fields that are accepted and ignored: they concern OpenAI's accounts, storage, billing and hosted features."""

    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    """Used by Envoy to route requests to replicas (envoy/affinity.lua)."""
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    verbosity: Any = None
    moderation: Any = None
    prediction: Any = None
    guided_decoding_backend: Any = None


IGNORED = tuple(_Ignored.__annotations__)
"""Names of the ignored fields."""


class AdapterParam(Strict):
    """A LoRA adapter, and how much of it."""

    id: str
    scale: float = 1.0


class _Common(_Ignored):
    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: Stop | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Annotated[dict[str, float], at_most(MAX_LOGIT_BIAS, "entries")] | None = None
    n: int | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    # Extensions to OpenAI's API, with the names that other servers use.
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repetition_penalty: float | None = None
    top_n_sigma: float | None = None
    min_keep: int | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    dynatemp_range: float | None = None
    dynatemp_exponent: float | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: list[str] | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adapters: list[AdapterParam] | None = None
    ignore_eos: bool | None = None
    n_predict: int | None = None
    repeat_penalty: float | None = None
    timings: bool | None = None
    return_progress: bool | None = None
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | str | None = None
    regex: str | None = None
    grammar: str | None = None
    ebnf: str | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    structured_outputs: StructuredOutputs | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ReasoningParam(Strict):
    """Whether and how much to think, as OpenRouter's and OpenAI's clients say it."""

    effort: str | None = None
    enabled: bool | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    summary: Any = None
    """Ignored: thoughts are sent as they are."""
    generate_summary: Any = None


class ThinkingParam(Strict):
    """Whether to think, as clients of Anthropic's, DeepSeek's and Z.ai's APIs say it."""

    type: Literal["enabled", "disabled"]
    budget_tokens: int | None = None


def _switch(value: object) -> object:
    """Returns the object form of a switch, so that errors name the field instead of a member of a union."""
    return {"type": "enabled" if value else "disabled"} if isinstance(value, bool) else value


Switch = Annotated[ThinkingParam, BeforeValidator(_switch, json_schema_input_type=bool | ThinkingParam)]


class ChatCompletionParams(_Common):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessageParam], FIRST_ERROR, at_most(MAX_MESSAGES, "messages")]
    suffix: Annotated[None, BeforeValidator(_no_suffix)] = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: Annotated[list[Literal["text"]], FIRST_ERROR] | None = None
    tools: Annotated[list[ToolParam], FIRST_ERROR, at_most(MAX_TOOLS, "tools")] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    # Thinking. OpenAI has the effort only; the others are the names of vLLM, Qwen, llama.cpp, OpenRouter and SGLang.
    reasoning_effort: str | None = None
    reasoning: ReasoningParam | None = None
    thinking: Switch | None = None
    enable_thinking: bool | None = None
    thinking_budget: int | None = None
    thinking_token_budget: int | None = None
    thinking_budget_tokens: int | None = None
    reasoning_budget_tokens: int | None = None
    include_reasoning: bool | None = None
    separate_reasoning: Annotated[Literal[True], BeforeValidator(_yes)] | None = None
    reasoning_budget_message: None = None
    chat_template_kwargs: dict[str, Any] | None = None


class CompletionParams(_Common):
    """The body of `POST /v1/completions`."""

    prompt: Prompts
    """A list of `Input`, see `_inputs`."""
    suffix: str | None = None
    logprobs: int | None = None
    reasoning_effort: Annotated[None, BeforeValidator(_no_effort)] = None
    best_of: int | None = None
    echo: bool | None = None


class EmbeddingParams(Strict):
    """The body of `POST /v1/embeddings`."""

    model: str = ""
    input: Inputs
    """A list of `Input`, see `_inputs`."""
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    pooling: None = None
    user: Any = None


class DocumentParam(Strict):
    """A document as an object, as Jina and Cohere take it."""

    text: str


class RerankParams(Strict):
    """The body of `POST /v1/rerank`, as Jina and Cohere have it."""

    model: str = ""
    query: str
    documents: list[str | DocumentParam]
    top_n: int | None = None
    return_documents: bool | None = None
    user: Any = None


Params = TypeVar("Params", bound=Strict)


def parse(kind: type[Params], body: bytes) -> Params:
    """Parses and validates an HTTP body. Raises InvalidFieldError for the first invalid field."""
    return bodies.parse(kind, body, UNSUPPORTED)
