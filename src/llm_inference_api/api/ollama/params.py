"""Bodies of requests to Ollama's paths, as pydantic models (https://docs.ollama.com/api).

Unknown and unsupported fields are refused by name. Ollama itself passes over options that it does not know.
"""

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from llm_inference_api.api import bodies
from llm_inference_api.api.bodies import FIRST_ERROR, Strict, at_most
from llm_inference_api.requests.chat import MAX_MESSAGES
from llm_inference_api.requests.inquiry import MAX_INPUTS
from llm_inference_api.requests.limits import MAX_STOP
from llm_inference_api.requests.tools import MAX_CALLS, MAX_TOOLS

_DURATION = re.compile(r"[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
"""https://pkg.go.dev/time#ParseDuration"""
_LONGEST_DURATION = 64


def _refused(why: str, *harmless: object) -> BeforeValidator:
    """Returns a validator for a field that is refused with a reason, unless its value asks for nothing."""

    def check(value: object) -> None:
        if value is not None and not any(type(value) is type(other) and value == other for other in harmless):
            raise ValueError(why)

    return BeforeValidator(check)


def _is_some_time(value: object) -> object:
    """Returns whether a duration is other than none at all."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value != 0
    if isinstance(value, str) and len(value) <= _LONGEST_DURATION and _DURATION.fullmatch(value):
        return re.search("[1-9]", value) is not None
    raise ValueError('must be a number of seconds, or a duration such as "5m"')


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _format(value: object) -> object:
    if value == "":
        return None
    if value != "json" and not isinstance(value, dict):
        raise ValueError('must be "json" or a JSON schema')
    return value


def _think(value: object) -> object:
    if not isinstance(value, bool | str):
        raise ValueError("must be true, false, or a word for how much to think")  # noqa: TRY004 - pydantic reports ValueErrors
    return value or None if isinstance(value, str) else value


_OPERATORS = "is decided where the service is started"
_NO_IMAGES = _refused("images are not supported", [], "")
_NO_CUT = _refused("nothing is cut here: what does not fit is refused; leave it out, or set it to false", False)
NoImages = Annotated[None, _NO_IMAGES]
NoCut = Annotated[None, _NO_CUT]
KeepAlive = Annotated[bool, BeforeValidator(_is_some_time)]
Stop = Annotated[list[str], FIRST_ERROR, at_most(MAX_STOP, "texts"), BeforeValidator(_as_list)]


class Options(Strict):
    """Parameters of the model. Those of sampling are the typed API's, whose defaults apply."""

    num_predict: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    seed: int | None = None
    stop: Stop | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    num_ctx: int | None = None
    """The context that the client counts on; refused above the model's."""
    num_keep: Any = None
    """Ignored: tokens to keep where a context is shifted, which none is here."""
    repeat_last_n: Annotated[
        None, _refused("the penalties count all of the prompt and the answer; leave it out, or set it to -1", -1)
    ] = None
    penalize_newline: Annotated[None, _refused("penalties count line breaks too; leave it out", True)] = None
    tfs_z: Annotated[None, _refused("llama.cpp has no tail-free sampling any more; leave it out", 1, 1.0)] = None
    num_batch: Annotated[None, _refused(f"{_OPERATORS} (LLM_BATCH_TOKENS); leave it out")] = None
    num_gpu: Annotated[None, _refused(f"{_OPERATORS} (LLM_GPU_LAYERS); leave it out")] = None
    main_gpu: Annotated[None, _refused(f"{_OPERATORS} (LLM_MAIN_GPU); leave it out")] = None
    num_thread: Annotated[None, _refused(f"{_OPERATORS} (LLM_THREADS); leave it out", 0)] = None
    numa: Annotated[None, _refused(f"{_OPERATORS}; leave it out", False)] = None
    low_vram: Annotated[None, _refused(f"{_OPERATORS}; leave it out", False)] = None
    f16_kv: Annotated[None, _refused("the cache has 16 bits; leave it out", True)] = None
    logits_all: Annotated[None, _refused(f"{_OPERATORS}; leave it out", False)] = None
    vocab_only: Annotated[None, _refused(f"{_OPERATORS}; leave it out", False)] = None
    use_mmap: Annotated[None, _refused(f"{_OPERATORS}; leave it out", True)] = None
    use_mlock: Annotated[None, _refused(f"{_OPERATORS}; leave it out", False)] = None
    embedding_only: Annotated[None, _refused(f"{_OPERATORS}; leave it out", False)] = None


class _Body(Strict):
    """A body, in which null is the same as an absent field, as for Go's decoder."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: inner for name, inner in value.items() if inner is not None or name not in cls.model_fields}


class _ModelBody(_Body):
    """Fields of all requests to a model."""

    model: str = ""
    options: Options = Field(default_factory=Options)
    keep_alive: KeepAlive | None = None
    """Whether the model may stay in memory after the request; for how long is decided by `LLM_IDLE_UNLOAD`."""


class _Answered(_ModelBody):
    """Fields of the requests that a model answers with text."""

    stream: bool = True
    format: Annotated[Any, BeforeValidator(_format)] = None
    """`json`, or a JSON schema."""
    think: Annotated[Any, BeforeValidator(_think)] = None
    """Whether to think, or a word for how much."""
    logprobs: bool = False
    top_logprobs: int = 0
    truncate: NoCut = None
    shift: NoCut = None


class CalledFunction(Strict):
    """Name and arguments of a call."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    index: Any = None
    description: Any = None
    """Ignored, like the index: some clients repeat the tool's."""


class ToolCallParam(Strict):
    """A tool call made by the assistant."""

    function: CalledFunction
    id: str = ""
    type: Literal["function"] = "function"


class MessageParam(Strict):
    """One message of a chat."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: NoImages = None
    tool_calls: Annotated[list[ToolCallParam], FIRST_ERROR, at_most(MAX_CALLS, "tool calls")] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class FunctionParam(Strict):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolParam(Strict):
    """A tool; only functions are supported."""

    type: Literal["function"] = "function"
    function: FunctionParam
    items: Annotated[None, _refused("belongs to the parameters; leave it out")] = None


class ChatParams(_Answered):
    """The body of `POST /api/chat`."""

    messages: Annotated[list[MessageParam], FIRST_ERROR, at_most(MAX_MESSAGES, "messages")] = Field(
        default_factory=list
    )
    tools: Annotated[list[ToolParam], FIRST_ERROR, at_most(MAX_TOOLS, "tools")] = Field(default_factory=list)


class GenerateParams(_Answered):
    """The body of `POST /api/generate`."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    raw: bool = False
    images: NoImages = None
    template: Annotated[None, _refused("the model's own template is used; leave it out, or set raw", "")] = None
    context: Annotated[None, _refused("send the conversation as messages to /api/chat instead", [])] = None
    width: NoImages = None
    height: NoImages = None
    steps: NoImages = None


class EmbedParams(_ModelBody):
    """The body of `POST /api/embed`."""

    input: Annotated[list[str], FIRST_ERROR, at_most(MAX_INPUTS, "texts"), BeforeValidator(_as_list)] = Field(
        default_factory=list
    )
    truncate: NoCut = None
    dimensions: int | None = None


class EmbedPromptParams(_ModelBody):
    """The body of `POST /api/embeddings`."""

    prompt: str = ""


class _Named(_Body):
    """The name of a model."""

    model: str = ""
    name: str = ""
    """The earlier name of `model`."""

    @property
    def named(self) -> str:
        """The name that was sent."""
        return self.model or self.name


class ShowParams(_Named):
    """The body of `POST /api/show`."""

    verbose: Annotated[None, _refused("vocabulary and tensors are not listed; leave it out", False)] = None
    system: Annotated[None, _refused("a model is shown as it is; leave it out", "")] = None
    template: Annotated[None, _refused("a model is shown as it is; leave it out", "")] = None
    options: Annotated[None, _refused("a model is shown as it is; leave it out", {})] = None


class PullParams(_Named):
    """The body of `POST /api/pull`."""

    stream: bool = True
    insecure: Annotated[None, _refused("the hub is the one of the settings (HF_ENDPOINT); leave it out", False)] = None
    username: Annotated[None, _refused("the hub's token is a setting (HF_TOKEN); leave it out", "")] = None
    password: Annotated[None, _refused("the hub's token is a setting (HF_TOKEN); leave it out", "")] = None


Params = TypeVar("Params", bound=Strict)


def parse(kind: type[Params], body: bytes) -> Params:
    """Parses and validates an HTTP body. Raises InvalidFieldError for the first invalid field."""
    return bodies.parse(kind, body, {})
