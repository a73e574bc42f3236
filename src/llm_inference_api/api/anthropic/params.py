"""Bodies of requests below `/v1/messages`, as pydantic models (https://docs.claude.com/en/api/messages).

Unknown and unsupported fields are refused by name. Of what is sent to a hosted model only, `null` is accepted.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field

from llm_inference_api.api import bodies
from llm_inference_api.api.bodies import FIRST_ERROR, No, Strict, at_most
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import MAX_MESSAGES
from llm_inference_api.requests.limits import MAX_STOP
from llm_inference_api.requests.tools import MAX_TOOLS

MAX_BLOCKS = 4096
"""Maximum number of blocks of a message."""
THREAD = "thread"
"""Field by which a conversation is kept by the server. Clients know how to do without, see `errors.py`."""
MAX_EDITS = 16
"""Maximum number of edits of a conversation."""


def _blocks(value: object) -> object:
    """Returns the content as a list of blocks, so that errors name the field instead of a member of a union."""
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


class TextBlock(Strict):
    """A text. All prefixes are cached, so hints for that have no effect."""

    type: Literal["text"]
    text: str
    cache_control: Any = None
    citations: Annotated[list[Any], Field(max_length=0)] | None = None


class ToolUseBlock(Strict):
    """A call of a tool that the assistant has made."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    cache_control: Any = None
    caller: Any = None


Texts = Annotated[list[TextBlock], FIRST_ERROR, BeforeValidator(_blocks, json_schema_input_type=str | list[TextBlock])]


class ToolResultBlock(Strict):
    """What a call has given."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Texts | None = None
    is_error: bool | None = None
    cache_control: Any = None


class ThinkingBlock(Strict):
    """Thoughts of the assistant. There is nothing to sign, and no signature is looked at."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


Block = Annotated[TextBlock | ToolUseBlock | ToolResultBlock | ThinkingBlock, Field(discriminator="type")]


class MessageParam(Strict):
    """One message of a chat."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[
        list[Block],
        FIRST_ERROR,
        at_most(MAX_BLOCKS, "blocks"),
        BeforeValidator(_blocks, json_schema_input_type=str | list[Block]),
    ]


class ToolParam(Strict):
    """A function of the caller that the model may call."""

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    cache_control: Any = None
    eager_input_streaming: Any = None
    """Ignored: arguments are always streamed as they come."""
    allowed_callers: list[Literal["direct"]] | None = None
    defer_loading: No | None = None
    input_examples: None = None


class ToolChoiceParam(Strict):
    """Whether the model may or must call tools."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingParam(Strict):
    """Whether and how much to think."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class FormatParam(Strict):
    """A schema that the answer's text follows."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputParam(Strict):
    """How to answer."""

    effort: str | None = None
    format: FormatParam | None = None


class KeepAllParam(Strict):
    """`all` as an object."""

    type: Literal["all"]


def _keep(value: object) -> object:
    return "all" if value == {"type": "all"} else value


class EditParam(Strict):
    """An edit of the conversation. The one that keeps all thoughts, which agents send by default, changes nothing.

    What a prompt has of earlier thoughts is the chat template's affair.
    """

    type: Literal["clear_thinking_20251015"]
    keep: Annotated[Literal["all"], BeforeValidator(_keep, json_schema_input_type=Literal["all"] | KeepAllParam)]


class ContextManagementParam(Strict):
    """Edits of the conversation before it is computed."""

    edits: Annotated[list[EditParam], FIRST_ERROR, at_most(MAX_EDITS, "edits")] | None = None


UNSUPPORTED = {
    "container": "the service runs no code; leave it out",
    THREAD: "the service keeps no conversations of this API; leave it out, and send all messages",
    "mcp_servers": "the service calls no servers; call them from the client, as tools",
    "input_examples": "chat templates have no place for them; add them to the description",
}
"""What is said of known fields of Anthropic's API that are not supported."""


class _Chat(Strict):
    """Fields of all requests."""

    model: str = ""
    messages: Annotated[list[MessageParam], FIRST_ERROR, at_most(MAX_MESSAGES, "messages")]
    system: Texts | None = None
    tools: Annotated[list[ToolParam], FIRST_ERROR, at_most(MAX_TOOLS, "tools")] | None = None
    tool_choice: ToolChoiceParam | None = None
    thinking: ThinkingParam | None = None
    output_config: OutputParam | None = None
    output_format: FormatParam | None = None
    """The earlier name of `output_config.format`."""
    cache_control: Any = None
    context_management: ContextManagementParam | None = None
    container: None = None
    mcp_servers: None = None
    thread: None = None
    # They concern accounts, billing and the places of hosted models.
    inference_geo: Any = None
    service_tier: Any = None
    speed: Any = None
    diagnostics: Any = None


IGNORED = ("cache_control", "inference_geo", "service_tier", "speed", "diagnostics", "metadata")
"""Names of the fields that are accepted and ignored."""


class MessagesParams(_Chat):
    """The body of `POST /v1/messages`."""

    max_tokens: int
    stream: bool | None = None
    stop_sequences: Annotated[list[str], FIRST_ERROR, at_most(MAX_STOP, "texts")] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    """Not Anthropic's."""
    metadata: Any = None


class CountParams(_Chat):
    """The body of `POST /v1/messages/count_tokens`."""


Params = TypeVar("Params", bound=_Chat)


def parse(kind: type[Params], body: bytes) -> Params:
    """Parses and validates an HTTP body. Raises InvalidFieldError for the first invalid field."""
    try:
        return bodies.parse(kind, body, UNSUPPORTED)
    except InvalidFieldError as error:
        field = _TAG.sub(r"\1", error.field)
        if field == error.field:
            raise
        raise InvalidFieldError(field, error.problem) from error


_TAG = re.compile(r"^(messages\[\d+\]\.content\[\d+\])\.(text|tool_use|tool_result|thinking)\b")
"""pydantic names the type of a block between the block and its field."""
