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
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Message, check_call_counts, check_message_count, checked_messages
from llm_inference_api.requests.limits import Limits, new_id
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.sizes import check_size
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolCall, ToolChoice, complete_arguments, tool_use

Params = ChatCompletionParams | CompletionParams

_SAME = (
    "max_tokens",
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "top_k",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "ignore_eos",
    "stop",
)
"""Fields with the same name in both APIs."""
_FUNCTION_FIELD = re.compile(r"((?:tools|tool_calls)\[\d+\])\.(name|parameters|arguments)")
"""Fields that OpenAI nests one level deeper, in `function`."""
_TOKEN_IDS = 1 << 32


def read_chat(params: ChatCompletionParams, limits: Limits) -> GenerationRequest:
    """Returns the request of a chat completion. Raises InvalidFieldError with OpenAI's field name."""
    with _openai_names(params):
        given = _given(params)
        if params.max_completion_tokens is not None:
            if params.max_tokens not in (None, params.max_completion_tokens):
                raise InvalidFieldError("max_tokens", "contradicts max_completion_tokens; leave one of them out")
            given["max_tokens"] = params.max_completion_tokens
        given |= _not_none(logprobs=params.logprobs, top_logprobs=params.top_logprobs)
        choice = _tool_choice(params)
        check_message_count(len(params.messages))
        check_call_counts(len(message.tool_calls or ()) for message in params.messages)
        messages = checked_messages([_message(message) for message in params.messages])
        tools = [_tool(index, tool.function) for index, tool in enumerate(params.tools or ())]
        ignore_eos = bool(params.ignore_eos)
        shared = _shared(params, given, limits)
        return GenerationRequest(
            new_id("chatcmpl"),
            messages,
            constraint=constraint_of(params),
            tools=tool_use(tools, choice, ignore_eos=ignore_eos),
            **shared,
        )


def read_completion(params: CompletionParams, limits: Limits) -> GenerationRequest:
    """Returns the request of a completion. Raises InvalidFieldError with OpenAI's field name."""
    with _openai_names(params):
        prompts = [params.prompt] if isinstance(params.prompt, str) else params.prompt
        if params.best_of not in (None, params.n or 1):
            raise InvalidFieldError("best_of", "is not supported; leave it out, or set it to n")
        if not prompts[0]:
            raise InvalidFieldError("prompt", "is missing or empty; it is the text to continue")
        check_size("prompt", len(prompts[0].encode()))
        given = _given(params)
        if params.logprobs is not None:
            given |= {"logprobs": True, "top_logprobs": params.logprobs}
        shared = _shared(params, given, limits)
        return GenerationRequest(new_id("cmpl"), prompts[0], constraint=constraint_of(params), **shared)


@contextmanager
def _openai_names(params: Params) -> Iterator[None]:
    """Translates field names in InvalidFieldErrors to those that the caller sent."""
    names: dict[str, str] = {}
    if isinstance(params, CompletionParams):
        names["top_logprobs"] = "logprobs"
    elif params.max_completion_tokens is not None:
        names["max_tokens"] = "max_completion_tokens"
    try:
        yield
    except InvalidFieldError as error:
        name = _FUNCTION_FIELD.sub(r"\1.function.\2", names.get(error.field, error.field))
        if name == error.field:
            raise
        raise InvalidFieldError(name, error.problem) from error


def _given(params: Params) -> dict[str, Any]:
    if params.stream_options is not None and not params.stream:
        raise InvalidFieldError("stream_options", "needs stream to be true")
    given = _not_none(**{name: getattr(params, name) for name in _SAME})
    return {**given, "logit_bias": _logit_bias(params.logit_bias)}


def _not_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _shared(params: Params, given: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """Returns the fields of GenerationRequest that chats and completions have in common."""
    sampling, n, stopping = limits.sampling(given), limits.count(given), limits.stopping(given)
    return {"sampling": sampling, "stopping": stopping, "model": params.model, "n": n}


def _logit_bias(bias: dict[str, float] | None) -> dict[int, float]:
    for token in bias or {}:
        if not token.isascii() or not token.isdigit() or int(token) >= _TOKEN_IDS:
            raise InvalidFieldError("logit_bias", f"its keys are token ids, not {token[:50]!r}")
    return {int(token): value for token, value in (bias or {}).items()}


def _message(message: ChatMessageParam) -> Message:
    # OpenAI's newer models have the role developer; chat templates know it as system.
    role = "system" if message.role == "developer" else message.role
    calls = tuple(
        ToolCall(call.id, call.function.name, complete_arguments(call.function.arguments))
        for call in message.tool_calls or ()
    )
    return Message(role, message.content or "", calls, message.tool_call_id or None, message.name or None)


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
