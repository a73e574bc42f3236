"""Says in the typed API's words what OpenAI's clients ask for, so that one set of rules and limits holds for both."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_inference.v1 import inference_pb2, tools_pb2
from llm_inference_api.api.openai.requests import (
    ChatCompletionParams,
    ChatMessage,
    CompletionParams,
    Function,
    ResponseFormat,
    ToolChoice,
)
from llm_inference_api.errors import InvalidFieldError

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
)
"""Fields that both APIs call by one name."""
_FUNCTION_FIELD = re.compile(r"((?:tools|tool_calls)\[\d+\])\.(name|parameters|arguments)")
"""What OpenAI has one level deeper."""
_INTEGERS = {"max_tokens": 32, "seed": 32, "n": 32, "top_k": 32, "top_logprobs": 32, "max_completion_tokens": 32}


def chat_request(params: ChatCompletionParams) -> inference_pb2.ChatRequest:
    """Returns the chat that the parameters ask for. Raises InvalidFieldError where they contradict each other."""
    fields = _fields(params)
    limit = params.max_completion_tokens
    if limit is not None:
        if params.max_tokens not in (None, limit):
            raise InvalidFieldError("max_tokens", "contradicts max_completion_tokens; leave one of them out")
        fields["max_tokens"] = _unsigned("max_completion_tokens", limit)
    if params.logprobs is not None:
        fields["logprobs"] = params.logprobs
    if params.top_logprobs is not None:
        fields["top_logprobs"] = _unsigned("top_logprobs", params.top_logprobs)
    if params.response_format is not None:
        fields |= _constraint(params.response_format)
    if params.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = params.parallel_tool_calls
    if params.tool_choice is not None:
        fields["tool_choice"] = _tool_choice(params.tool_choice)
    fields["tools"] = [_tool(tool.function) for tool in params.tools or ()]
    return inference_pb2.ChatRequest(messages=map(_message, params.messages), **fields)


def generate_request(params: CompletionParams) -> inference_pb2.GenerateRequest:
    """Returns the prompt that the parameters ask to continue. Raises InvalidFieldError as `chat_request`."""
    prompts = [params.prompt] if isinstance(params.prompt, str) else params.prompt
    if len(prompts) != 1:
        raise InvalidFieldError("prompt", f"one prompt can be continued, not {len(prompts)}; send a request for each")
    if params.best_of not in (None, params.n or 1):
        raise InvalidFieldError("best_of", "answers are not ranked; leave it out, or set it to n")
    fields = _fields(params)
    if params.logprobs is not None:
        fields |= {"logprobs": True, "top_logprobs": _unsigned("logprobs", params.logprobs)}
    return inference_pb2.GenerateRequest(prompt=prompts[0], **fields)


@contextmanager
def openai_names(params: ChatCompletionParams | CompletionParams) -> Iterator[None]:
    """Lets the errors of the typed API name the fields that the caller sent."""
    names = {"json_schema": "response_format", "json_object": "response_format"}
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


def _fields(params: ChatCompletionParams | CompletionParams) -> dict[str, Any]:
    if params.stream_options is not None and not params.stream:
        raise InvalidFieldError("stream_options", "needs stream to be true")
    given = {name: getattr(params, name) for name in _SAME}
    fields = {
        name: _unsigned(name, value) if name in _INTEGERS else value
        for name, value in given.items()
        if value is not None
    }
    return {**fields, "model": params.model, "stop": params.stop or [], "logit_bias": _logit_bias(params.logit_bias)}


def _unsigned(field: str, value: int) -> int:
    """Returns the number where protobuf's unsigned type holds it; its meaning is checked with the other fields."""
    if not 0 <= value < 1 << 32:
        raise InvalidFieldError(field, f"must be a whole number from 0 to {(1 << 32) - 1}, not {value}")
    return value


def _logit_bias(bias: dict[str, float] | None) -> dict[int, float]:
    for token in bias or {}:
        if not token.isascii() or not token.isdigit() or int(token) >= 1 << 32:
            raise InvalidFieldError("logit_bias", f"its keys are token ids, not {token[:50]!r}")
    return {int(token): value for token, value in (bias or {}).items()}


def _message(message: ChatMessage) -> inference_pb2.ChatMessage:
    # What OpenAI calls developer is the system to models, whose templates know that role.
    role = "system" if message.role == "developer" else message.role
    calls = [
        tools_pb2.ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
    ]
    more = {"name": message.name, "tool_call_id": message.tool_call_id}
    return inference_pb2.ChatMessage(role=role, content=message.content or "", tool_calls=calls, **more)


def _tool(function: Function) -> tools_pb2.Tool:
    return tools_pb2.Tool(
        name=function.name,
        description=function.description or "",
        parameters="" if function.parameters is None else json.dumps(function.parameters),
        strict=function.strict,
    )


def _tool_choice(choice: ToolChoice) -> tools_pb2.ToolChoice:
    if (choice.mode is None) == (choice.function is None) or (choice.type is None) != (choice.function is None):
        raise InvalidFieldError("tool_choice", 'must be "none", "auto", "required" or name a function')
    if choice.function is not None:
        return tools_pb2.ToolChoice(function=choice.function.name)
    assert choice.mode is not None
    return tools_pb2.ToolChoice(mode=choice.mode.upper())


def _constraint(wanted: ResponseFormat) -> dict[str, Any]:
    if (wanted.type == "json_schema") != (wanted.json_schema is not None):
        raise InvalidFieldError("response_format", "type json_schema and json_schema belong together")
    if wanted.json_schema is not None:
        schema = wanted.json_schema.schema_
        return {"json_schema": json.dumps({} if schema is None else schema)}
    return {"json_object": True} if wanted.type == "json_object" else {}
