"""Converts the parameters of the Responses API into GenerationRequests.

Limits are those of the typed API; errors name the fields as the caller sent them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_inference_api.api.openai.responses.conversation import Placed, PlacedMessage, messages_of
from llm_inference_api.api.openai.responses.ids import response_id
from llm_inference_api.api.openai.responses.params import (
    LOGPROBS,
    MAX_KEY,
    MAX_VALUE,
    InputTokensParams,
    ResponseParams,
)
from llm_inference_api.api.openai.responses.tools import Function, functions_of
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.chat import Message, checked_messages
from llm_inference_api.requests.constraint import Constraint, read_constraint
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.thinking import Names, Thinking, checked_thinking
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolChoice, tool_use

Params = ResponseParams | InputTokensParams

_SAME = (
    "temperature",
    "top_p",
    "top_logprobs",
    "seed",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "ignore_eos",
)
"""Fields with the same name in both APIs."""
_NAMES = Names("reasoning", "reasoning.effort", "reasoning")
_MESSAGE = re.compile(r"^messages(?:\[(\d+)\])?")
_INPUT = "input"
_INSTRUCTIONS = "instructions"


def read_response(params: Params, items: Sequence[Placed], limits: Limits) -> GenerationRequest:
    """Returns the request of a response, or of one whose tokens are counted.

    Args:
        params: The body.
        items: The whole conversation.
        limits: The service's limits.

    Raises:
        InvalidFieldError: A field is invalid.
    """
    read = _with_instructions(params.instructions, [*messages_of(items)])
    with caller_names([place for place, _ in read]):
        given = _given(params)
        return GenerationRequest(
            response_id(),
            checked_messages([message for _, message in read]),
            limits.sampling(given),
            limits.stopping(given),
            _constraint(params),
            model=params.model,
            tools=tool_use(
                [_tool(function) for function in functions_of(params.tools or ())],
                _choice(params),
                ignore_eos=bool(given.get("ignore_eos")),
            ),
            thinking=_thinking(params),
            wants_progress=True,
        )


def _with_instructions(instructions: str | None, messages: list[PlacedMessage]) -> list[PlacedMessage]:
    """Returns the messages after the instructions.

    System messages that follow at once join them, as chat templates have one place for those.
    """
    if not instructions:
        return messages
    texts = [instructions]
    while messages and messages[0].message.role == "system":
        texts.append(messages[0].message.content)
        messages = messages[1:]
    return [PlacedMessage(_INSTRUCTIONS, Message("system", "\n\n".join(texts))), *messages]


@contextmanager
def caller_names(places: Sequence[str] = ()) -> Iterator[None]:
    """Translates names of fields in errors; `places` has the caller's field for each message that was made."""
    try:
        yield
    except ContextLengthError as error:
        raise ContextLengthError(error.prompt_tokens, error.context_length, error.exact, _INPUT) from error
    except InvalidFieldError as error:
        name = error.field.replace("max_tokens", "max_output_tokens")
        if found := _MESSAGE.match(name):
            index = int(found[1]) if found[1] else len(places)
            name = places[index] if index < len(places) else _INPUT
        if name == error.field:
            raise
        raise InvalidFieldError(name, error.problem) from error


def _given(params: Params) -> dict[str, Any]:
    if isinstance(params, InputTokensParams):
        return {}
    if params.stream_options is not None and not params.stream:
        raise InvalidFieldError("stream_options", "needs stream to be true")
    for key, value in (params.metadata or {}).items():
        if len(key) > MAX_KEY or len(value) > MAX_VALUE:
            problem = f"has a key of more than {MAX_KEY} characters, or a value of more than {MAX_VALUE}"
            raise InvalidFieldError("metadata", problem)
    given = {name: value for name in _SAME if (value := getattr(params, name)) is not None}
    if params.max_output_tokens is not None:
        given["max_tokens"] = params.max_output_tokens
    if params.top_logprobs or LOGPROBS in (params.include or ()):
        given["logprobs"] = True
    return given


def _tool(function: Function) -> Tool:
    tool = function.tool
    parameters = NO_ARGUMENTS if tool.parameters is None else json.dumps(tool.parameters, ensure_ascii=False)
    field = f"{function.field}.parameters"
    return Tool(function.called.full, tool.description or "", parameters, strict=bool(tool.strict), field=field)


def _choice(params: Params) -> ToolChoice:
    choice = params.tool_choice
    # A model of no tools is not told how to choose from them; clients send both always.
    parallel = params.parallel_tool_calls if params.tools else None
    if choice is None or (choice.mode in ("auto", "none") and not params.tools):
        return ToolChoice(parallel=parallel)
    if (choice.type is None) != (choice.name is None) or (choice.type is None) == (choice.mode is None):
        raise InvalidFieldError("tool_choice", 'must be "none", "auto", "required" or name a function')
    return ToolChoice(choice.mode.upper() if choice.mode else None, choice.name, parallel)


def _constraint(params: Params) -> Constraint | None:
    wanted = params.text.format if params.text else None
    if wanted is None:
        return None
    if (wanted.type == "json_schema") != (wanted.schema_ is not None):
        raise InvalidFieldError("text.format.schema", "is required for the type json_schema, and allowed for no other")
    if wanted.type == "text":
        return None
    value = True if wanted.schema_ is None else json.dumps(wanted.schema_, ensure_ascii=False)
    ignore_eos = isinstance(params, ResponseParams) and bool(params.ignore_eos)
    return read_constraint(wanted.type, value, ignore_eos=ignore_eos, field="text.format")


def _thinking(params: Params) -> Thinking:
    effort = params.reasoning.effort if params.reasoning else None
    variables = params.chat_template_kwargs if isinstance(params, ResponseParams) else None
    return checked_thinking(Thinking(effort=effort, variables=variables or {}, names=_NAMES))
