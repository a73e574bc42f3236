"""Converts OpenAI request parameters into GenerationRequests.

Limits are those of the typed API; errors name the fields as the caller sent them.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_inference_api.api.openai.constraints import constraint_of
from llm_inference_api.api.openai.params import (
    ChatCompletionParams,
    ChatMessageParam,
    CompletionParams,
    FunctionParam,
    ToolChoiceParam,
)
from llm_inference_api.api.openai.thinking import thinking_of
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.adapters import Adapter, checked_adapters
from llm_inference_api.requests.chat import (
    Message,
    check_call_counts,
    check_message_count,
    checked_messages,
    ending,
)
from llm_inference_api.requests.inquiry import Input, check_tokens
from llm_inference_api.requests.limits import EXTRA, Limits, new_id
from llm_inference_api.requests.request import GenerationRequest, Stopping, TokenPrompt
from llm_inference_api.requests.sizes import check_size
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolCall, ToolChoice, complete_arguments, tool_use

Params = ChatCompletionParams | CompletionParams

_SAME = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "top_k",
    "min_p",
    "typical_p",
    *EXTRA,
    "dry_sequence_breakers",
    "ignore_eos",
    "stop",
)
"""Fields with the same name in both APIs."""
_ALIASES = {
    "max_tokens": ("max_tokens", "max_completion_tokens", "n_predict"),
    "repetition_penalty": ("repetition_penalty", "repeat_penalty"),
}
"""Names in this API for fields of the typed API: OpenAI's, and those that llama.cpp's and Ollama's users know."""
_FUNCTION_FIELD = re.compile(r"((?:tools|tool_calls)\[\d+\])\.(name|parameters|arguments)")
"""Fields that OpenAI nests one level deeper, in `function`."""
_ID_DIGITS = 10
"""Most digits of a token id, which has 32 bits."""


def read_chat(params: ChatCompletionParams, limits: Limits) -> GenerationRequest:
    """Returns the request of a chat completion. Raises InvalidFieldError with OpenAI's field name."""
    with _openai_names(params):
        given = _given(params)
        given |= _not_none(logprobs=params.logprobs, top_logprobs=params.top_logprobs)
        choice = _tool_choice(params)
        check_message_count(len(params.messages))
        check_call_counts(len(message.tool_calls or ()) for message in params.messages)
        messages = checked_messages([_message(index, message) for index, message in enumerate(params.messages)])
        end = ending(messages, continues=params.continue_final_message, begins=params.add_generation_prompt)
        tools = [_tool(index, tool.function) for index, tool in enumerate(params.tools or ())]
        ignore_eos = bool(params.ignore_eos)
        shared = _shared(params, given, limits)
        return GenerationRequest(
            new_id("chatcmpl"),
            messages,
            constraint=constraint_of(params),
            tools=tool_use(tools, choice, ignore_eos=ignore_eos),
            ending=end,
            thinking=thinking_of(params),
            **shared,
        )


def read_completion(params: CompletionParams, limits: Limits) -> tuple[GenerationRequest, ...]:
    """Returns the requests of a completion, one for each prompt. Raises InvalidFieldError with OpenAI's field name."""
    with _openai_names(params):
        if params.best_of not in (None, params.n or 1):
            raise InvalidFieldError("best_of", "is not supported; leave it out, or set it to n")
        prompts = _prompts(params.prompt)
        suffix = params.suffix or ""
        check_size("suffix", len(suffix.encode()))
        given = _given(params)
        if params.logprobs is not None:
            given |= {"logprobs": True, "top_logprobs": params.logprobs}
        if params.echo and suffix:
            raise InvalidFieldError("echo", "cannot be combined with suffix: the answer stands between two texts")
        shared = {
            **_shared(params, given, limits, len(prompts)),
            "suffix": suffix,
            "constraint": constraint_of(params),
            "echoes": bool(params.echo),
        }
        if len(prompts) == 1:
            return (GenerationRequest(new_id("cmpl"), prompts[0], **shared),)
        name = new_id("cmpl")
        ids = (f"{name}-{place}" if place else name for place in range(len(prompts)))
        return tuple(
            GenerationRequest(next(ids), prompt, place=place, **shared) for place, prompt in enumerate(prompts)
        )


def _prompts(inputs: list[Input]) -> list[str | TokenPrompt]:
    """Returns the prompts; an empty text is one, an empty list of tokens is not."""
    texts = [item.content for item in inputs if isinstance(item.content, str)]
    check_size("prompt", sum(len(text.encode()) for text in texts))
    check_tokens("prompt", sum(len(item.content) for item in inputs if not isinstance(item.content, str)))
    for item in inputs:
        if not isinstance(item.content, str) and not item.content:
            raise InvalidFieldError(item.field, "has no tokens; send one at least, or a text")
    return [item.content if isinstance(item.content, str) else TokenPrompt(item.content) for item in inputs]


@contextmanager
def _openai_names(params: Params) -> Iterator[None]:
    """Translates field names in InvalidFieldErrors to those that the caller sent."""
    names: dict[str, str] = {}
    if isinstance(params, CompletionParams):
        names["top_logprobs"] = "logprobs"
    names |= {field: sent[0] for field in _ALIASES if (sent := _sent(params, field))}
    try:
        yield
    except InvalidFieldError as error:
        name = _FUNCTION_FIELD.sub(r"\1.function.\2", names.get(error.field, error.field))
        name = name.replace("logit_bias_texts", "logit_bias")
        if name == error.field:
            raise
        raise InvalidFieldError(name, error.problem) from error


def _given(params: Params) -> dict[str, Any]:
    if params.stream_options is not None and not params.stream:
        raise InvalidFieldError("stream_options", "needs stream to be true")
    given = _not_none(**{name: getattr(params, name) for name in _SAME})
    for field in _ALIASES:
        for name in (sent := _sent(params, field))[:1]:
            given[field] = getattr(params, name)
        for other in sent[1:]:
            if getattr(params, other) != given[field]:
                raise InvalidFieldError(other, f"contradicts {sent[0]}; leave one of them out")
    return {**given, **_biases(params.logit_bias or {})}


def _sent(params: Params, field: str) -> list[str]:
    """Returns the names by which the caller has set a field of the typed API."""
    return [name for name in _ALIASES[field] if getattr(params, name, None) is not None]


def _not_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _shared(params: Params, given: dict[str, Any], limits: Limits, prompts: int = 1) -> dict[str, Any]:
    """Returns the fields of GenerationRequest that chats and completions have in common."""
    sampling, n, stopping = limits.sampling(given), limits.count(given, prompts), _stopping(params, given, limits)
    return {
        "sampling": sampling,
        "stopping": stopping,
        "model": params.model,
        "n": n,
        "adapters": checked_adapters("adapters", [Adapter(item.id, item.scale) for item in params.adapters or ()]),
        "wants_times": bool(params.timings),
        "wants_progress": bool(params.return_progress),
        "session": params.prompt_cache_key if isinstance(params.prompt_cache_key, str) else "",
    }


def _stopping(params: Params, given: dict[str, Any], limits: Limits) -> Stopping:
    return limits.stopping(given, may_be_none=isinstance(params, CompletionParams))


def _biases(bias: dict[str, float]) -> dict[str, Any]:
    """Returns the biases by token id and by text: a key of digits is an id, any other a text."""
    ids = {key: value for key, value in bias.items() if key.isascii() and key.isdigit()}
    for key in ids:
        if len(key) > _ID_DIGITS:
            raise InvalidFieldError(f"logit_bias[{key[:50]}]", "is no token id of any model")
    texts = {key: value for key, value in bias.items() if key not in ids}
    return {"logit_bias": {int(key): value for key, value in ids.items()}, "logit_bias_texts": texts}


def _message(index: int, message: ChatMessageParam) -> Message:
    if message.role == "user" and message.content is None:
        raise InvalidFieldError(f"messages[{index}].content", "is missing")
    # OpenAI's newer models have the role developer; chat templates know it as system.
    role = "system" if message.role == "developer" else message.role
    calls = tuple(
        ToolCall(call.id, call.function.name, complete_arguments(call.function.arguments))
        for call in message.tool_calls or ()
    )
    name, reasoning = message.name or None, _reasoning(message)
    return Message(role, message.content or "", calls, message.tool_call_id or None, name, reasoning)


def _reasoning(message: ChatMessageParam) -> str:
    """Returns the assistant's thoughts, by any of the names that servers give them."""
    details = message.reasoning_details or ()
    texts = (detail.get(name) for detail in details for name in ("text", "summary"))
    return message.reasoning_content or message.reasoning or "".join(text for text in texts if isinstance(text, str))


def _tool(index: int, function: FunctionParam) -> Tool:
    parameters = NO_ARGUMENTS if function.parameters is None else json.dumps(function.parameters)
    field = f"tools[{index}].function.parameters"
    return Tool(function.name, function.description or "", parameters, strict=bool(function.strict), field=field)


def _tool_choice(params: ChatCompletionParams) -> ToolChoice:
    choice, parallel = params.tool_choice, params.parallel_tool_calls
    if choice is None:
        return ToolChoice(parallel=parallel)
    if (choice.mode is None) == (choice.function is None) or (choice.type is None) != (choice.function is None):
        raise InvalidFieldError("tool_choice", 'must be "none", "auto", "required" or name a function')
    return _of_choice(choice, parallel)


def _of_choice(choice: ToolChoiceParam, parallel: bool | None) -> ToolChoice:  # noqa: FBT001 - a field's value
    mode = choice.mode.upper() if choice.mode else None
    return ToolChoice(mode, choice.function.name if choice.function else None, parallel)
