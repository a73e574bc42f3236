"""Converts the parameters of Ollama's requests into GenerationRequests.

Limits are those of the typed API; errors name the fields as the caller sent them.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_inference_api.api.ollama.messages import messages_of, tools_of
from llm_inference_api.api.ollama.params import ChatParams, EmbedParams, EmbedPromptParams, GenerateParams, Options
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Message, check_call_counts, checked_messages, ending
from llm_inference_api.requests.constraint import Constraint, read_constraint
from llm_inference_api.requests.inquiry import Embed, Input, checked_inputs
from llm_inference_api.requests.limits import NO_LIMIT, Limits, new_id
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.sizes import check_size
from llm_inference_api.requests.thinking import DEFAULT, Names, Thinking, checked_thinking
from llm_inference_api.requests.tools import ToolChoice, tool_use

Params = ChatParams | GenerateParams

_OPTIONS = {
    "num_predict": "max_tokens",
    "repeat_penalty": "repetition_penalty",
    **{
        name: name
        for name in (
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "typical_p",
            "seed",
            "stop",
            "presence_penalty",
            "frequency_penalty",
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
        )
    },
}
"""The options that reach a request, with their names in the typed API."""
_UNTIL_FULL = -2
"""Value of `num_predict` that fills the context; here the same as no limit."""
_SENT = {ours: f"options.{theirs}" for theirs, ours in _OPTIONS.items()}
_NAMES = (
    (re.compile(rf"^({'|'.join(_SENT)})\b"), lambda found: _SENT[found[1]]),
    (re.compile(r"^(tools\[\d+\])\.(name|parameters)"), r"\1.function.\2"),
    (re.compile(r"^(messages\[\d+\]\.tool_calls\[\d+\])\.(name|arguments)"), r"\1.function.\2"),
    (re.compile(r"^(messages\[\d+\])\.reasoning_content$"), r"\1.thinking"),
)
"""Names of fields in the typed API, and in this one."""
_THINK = Names("think", "think", "think")
_PLAIN = "is for answers to a chat, which a prompt with raw or suffix is not; leave it out"


def read_chat(params: ChatParams, limits: Limits, model: str) -> GenerationRequest:
    """Returns the request of a chat to the model with this id. Raises InvalidFieldError."""
    with _ollama_names():
        check_call_counts(len(message.tool_calls or ()) for message in params.messages)
        messages = checked_messages(messages_of(params.messages))
        return GenerationRequest(
            new_id("chat"),
            messages,
            tools=tool_use(tools_of(params.tools), ToolChoice(), ignore_eos=False),
            ending=ending(messages, continues=None, begins=None),
            thinking=_thinking(params),
            **_shared(params, limits, model),
        )


def read_generate(params: GenerateParams, limits: Limits, model: str) -> GenerationRequest:
    """Returns the request of a prompt: one to answer, as a chat, unless it is sent as it is (`raw`, `suffix`).

    Raises InvalidFieldError.
    """
    with _ollama_names():
        check_size("prompt", len(params.prompt.encode()))
        check_size("suffix", len(params.suffix.encode()))
        prompt, thinking = _prompt(params), DEFAULT
        if not isinstance(prompt, str):
            check_size("prompt", sum(message.size for message in prompt))
            thinking = _thinking(params)
        return GenerationRequest(
            new_id("gen"), prompt, suffix=params.suffix, thinking=thinking, **_shared(params, limits, model)
        )


def read_embed(params: EmbedParams) -> Embed:
    """Returns the request of texts to embed. Raises InvalidFieldError."""
    _check_embedding_options(params.options)
    inputs = [Input(f"input[{index}]", text) for index, text in enumerate(params.input)]
    return checked_inputs("input", inputs, params.dimensions)


def read_embed_prompt(params: EmbedPromptParams) -> Embed:
    """Returns the request of a text to embed. Raises InvalidFieldError."""
    _check_embedding_options(params.options)
    return checked_inputs("prompt", [Input("prompt", params.prompt)])


def _prompt(params: GenerateParams) -> str | tuple[Message, ...]:
    if not params.raw and not params.suffix:
        system = (Message("system", params.system),) if params.system else ()
        return (*system, Message("user", params.prompt))
    if params.system:
        raise InvalidFieldError("system", _PLAIN)
    if params.think:
        raise InvalidFieldError("think", _PLAIN)
    return params.prompt


def _shared(params: Params, limits: Limits, model: str) -> dict[str, Any]:
    given = _given(params)
    return {
        "sampling": limits.sampling(given),
        "stopping": limits.stopping(given),
        "constraint": _constraint(params.format),
        "model": model,
        "wants_times": True,
    }


def _given(params: Params) -> dict[str, Any]:
    values = {ours: getattr(params.options, theirs) for theirs, ours in _OPTIONS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    if given.get("max_tokens") == _UNTIL_FULL:
        given["max_tokens"] = NO_LIMIT
    return {**given, "logprobs": params.logprobs, "top_logprobs": params.top_logprobs}


def _constraint(wanted: Any) -> Constraint | None:
    if wanted is None:
        return None
    if wanted == "json":
        return read_constraint("json_object", value=True, ignore_eos=False, field="format")
    return read_constraint("json_schema", json.dumps(wanted), ignore_eos=False, field="format")


def _thinking(params: Params) -> Thinking:
    """Returns whether to think. No thoughts are a budget of none: models without a switch have that too."""
    match params.think:
        case False:
            return Thinking(budget=0, names=_THINK)
        case True:
            return Thinking(enabled=True, names=_THINK)
        case str(effort):
            return checked_thinking(Thinking(effort=effort, names=_THINK))
    return Thinking(names=_THINK)


def _check_embedding_options(options: Options) -> None:
    for name in _OPTIONS:
        if getattr(options, name) is not None:
            raise InvalidFieldError(f"options.{name}", "has no effect on embeddings; leave it out")


@contextmanager
def _ollama_names() -> Iterator[None]:
    """Translates field names in InvalidFieldErrors."""
    try:
        yield
    except InvalidFieldError as error:
        name = error.field
        for ours, theirs in _NAMES:
            name = ours.sub(theirs, name)
        if name == error.field:
            raise
        raise InvalidFieldError(name, error.problem) from error
