"""Bodies of requests below `/v1/responses`, as pydantic models (https://developers.openai.com/api/reference).

Unknown and unsupported fields are refused by name. Fields without effect here are accepted if listed in `IGNORED`.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field

from llm_inference_api.api import bodies
from llm_inference_api.api.bodies import FIRST_ERROR, Json, No, Strict, at_most
from llm_inference_api.api.openai.responses.items import MAX_ITEMS, GivenItem, as_items
from llm_inference_api.api.openai.responses.tools import AnyTool
from llm_inference_api.requests.tools import MAX_TOOLS

MAX_METADATA = 16
"""Maximum number of pairs of `metadata`."""
MAX_KEY, MAX_VALUE = 64, 512
"""Maximum length of a key and of a value of `metadata`, in characters."""
LOGPROBS = "message.output_text.logprobs"
"""What `include` names to have the log probabilities of the text."""
WITHOUT_EFFECT = (
    "reasoning.encrypted_content",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "web_search_call.action.sources",
    "web_search_call.results",
)
"""What else `include` may name. Thoughts can be sent back in any case, in clear text; the rest belongs to tools and
images, which are refused themselves."""
_FUNCTION = "function"


def _function_only(value: object) -> object:
    """Raises ValueError for the choice of anything but a function."""
    if isinstance(value, str) and value != _FUNCTION:
        raise ValueError(f"{value[:50]!r} is not supported; it may be {_FUNCTION!r}, and tools may list fewer")
    return value


def _known_include(value: object) -> object:
    """Raises ValueError for what is not known."""
    if isinstance(value, str) and value not in (LOGPROBS, *WITHOUT_EFFECT):
        raise ValueError(f"{value[:50]!r} is not known; leave it out")
    return value


def _as_tools(value: object) -> object:
    """Returns the tools, which `functions_of` reads: null is none."""
    return [] if value is None else value


def _named(value: object) -> object:
    """Returns a mode's name as the object that a function's choice is, so that errors name no member of a union."""
    return {"mode": value} if isinstance(value, str) else value


Mode = Literal["none", "auto", "required"]


class ToolChoiceParam(Strict):
    """Tool choice: a mode, or the function to call."""

    mode: Mode | None = None
    type: Annotated[Literal["function"], BeforeValidator(_function_only)] | None = None
    name: str | None = None


class NamedFunction(Strict):
    """Tool choice that forces the call of one function."""

    type: Literal["function"]
    name: str


Choice = Annotated[ToolChoiceParam, BeforeValidator(_named, json_schema_input_type=Mode | NamedFunction)]


class TextFormat(Strict):
    """Constraint of the text: none, any JSON object, or a JSON Schema. It is always followed, `strict` or not."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextParam(Strict):
    """How to write the text."""

    format: TextFormat | None = None
    verbosity: Any = None


class ReasoningParam(Strict):
    """How much to think. Thoughts are sent as they are, so that what is said of summaries has no effect."""

    effort: str | None = None
    mode: Literal["standard"] | None = None
    context: Literal["auto"] | None = None
    """Which thoughts of earlier turns the prompt has: the chat template decides."""
    summary: Any = None
    generate_summary: Any = None


class StreamOptions(Strict):
    """Options of a stream."""

    include_obfuscation: No | None = None


class PromptCacheOptions(Strict):
    """How prefixes are cached: all are, as long as there is room."""

    mode: Any = None
    ttl: Any = None
    prewarm: No | None = None
    """Whether to compute the prompt alone."""
    comparison_response_id: None = None


UNSUPPORTED = {
    "background": "a response is computed while its caller waits; leave it out",
    "conversation": "the service keeps no conversations; send previous_response_id, or the whole conversation as input",
    "context_management": "the service edits no conversation; leave it out",
    "prompt": "the service keeps no prompts; send instructions and input",
    "moderation": "the service moderates nothing; leave it out",
    "prompt_cache_options.comparison_response_id": "the service does not compare prompts; leave it out",
    "reasoning.context": "the chat template decides which thoughts it has; leave it out",
}
"""What is said of known fields of OpenAI's API that are not supported."""


class _Conversation(Strict):
    """Fields of all requests."""

    model: str = ""
    input: Annotated[
        list[Json],
        FIRST_ERROR,
        at_most(MAX_ITEMS, "items"),
        BeforeValidator(as_items, json_schema_input_type=str | list[GivenItem]),
    ] = Field(default_factory=list)
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: Annotated[
        list[Json],
        FIRST_ERROR,
        at_most(MAX_TOOLS, "tools"),
        BeforeValidator(_as_tools, json_schema_input_type=list[AnyTool] | None),
    ] = Field(default_factory=list)
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    text: TextParam | None = None
    reasoning: ReasoningParam | None = None
    truncation: Literal["auto", "disabled"] | None = None
    conversation: None = None


class InputTokensParams(_Conversation):
    """The body of `POST /v1/responses/input_tokens`."""

    personality: None = None


IGNORED = (
    "client_metadata",
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
)
"""Names of the fields that are accepted and ignored: they concern accounts, billing and hosted features."""


class ResponseParams(_Conversation):
    """The body of `POST /v1/responses`."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    store: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    include: Annotated[list[Annotated[str, BeforeValidator(_known_include)]], FIRST_ERROR] | None = None
    metadata: Annotated[dict[str, str], at_most(MAX_METADATA, "pairs")] | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    user: str | None = None
    # Extensions to OpenAI's API, with the names that other servers use.
    seed: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    ignore_eos: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    # Not supported.
    background: No | None = None
    context_management: None = None
    prompt: None = None
    moderation: None = None
    # Ignored.
    client_metadata: Any = None
    """Of Codex."""
    max_tool_calls: Any = None
    prompt_cache_key: Any = None
    """Routes requests to replicas: Envoy's (envoy/affinity.lua) and a cluster's."""
    prompt_cache_retention: Any = None
    safety_identifier: Any = None
    service_tier: Any = None


Params = TypeVar("Params", bound=_Conversation)


def parse(kind: type[Params], body: bytes) -> Params:
    """Parses and validates an HTTP body. Raises InvalidFieldError for the first invalid field."""
    return bodies.parse(kind, body, UNSUPPORTED)
