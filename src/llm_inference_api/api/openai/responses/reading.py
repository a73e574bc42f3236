"""Converts the parameters of the Responses API into GenerationRequests.

Limits are those of the typed API; errors name the fields as the caller sent them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
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
from llm_inference_api.api.openai.responses.tools import Function
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.chat import Message, checked_messages
from llm_inference_api.requests.constraint import Constraint, read_constraint
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.thinking import Names, Thinking, checked_thinking
from llm_inference_api.requests.tools import ToolChoice, tool_use

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
_TOOL = re.compile(r"^tools\[(\d+)\]")
_INPUT = "input"
_INSTRUCTIONS = "instructions"


def read_response(
    params: Params, items: Sequence[Placed], functions: Sequence[Function], limits: Limits
) -> GenerationRequest:
    """Returns the request of a response, or of one whose tokens are counted.

    Args:
        params: The body.
        items: The whole conversation.
        functions: The tools.
        limits: The service's limits.

    Raises:
        InvalidFieldError: A field is invalid.
    """
    read = _with_instructions(params.instructions, [*messages_of(items)])
    with caller_names([place for place, _ in read], [function.field for function in functions]):
        given = _given(params)
        return GenerationRequest(
            response_id(),
            checked_messages([message for _, message in read]),
            limits.sampling(given),
            limits.stopping(given),
            _constraint(params),
            model=params.model,
            tools=tool_use(
                [function.for_model() for function in functions],
                _choice(params),
                ignore_eos=bool(given.get("ignore_eos")),
            ),
            thinking=_thinking(params),
            wants_progress=True,
            session=_session(params),
        )


def _with_instructions(instructions: str | None, messages: list[PlacedMessage]) -> list[PlacedMessage]:
    """Returns the messages after the instructions.

    They and the system messages at the beginning are one, as chat templates have one place for those.
    """
    system = [PlacedMessage(_INSTRUCTIONS, Message("system", instructions))] if instructions else []
    system += takewhile(lambda placed: placed.message.role == "system", messages)
    if not system:
        return messages
    rest = messages[len(system) - bool(instructions) :]
    text = "\n\n".join(placed.message.content for placed in system)
    return [PlacedMessage(system[0].place, Message("system", text)), *rest]


@contextmanager
def caller_names(places: Sequence[str] = (), tools: Sequence[str] = ()) -> Iterator[None]:
    """Translates names of fields in errors.

    Args:
        places: The caller's field for each message that was made.
        tools: The caller's field for each function.
    """
    try:
        yield
    except ContextLengthError as error:
        raise ContextLengthError(error.prompt_tokens, error.context_length, error.exact, _INPUT) from error
    except InvalidFieldError as error:
        name = error.field.replace("max_tokens", "max_output_tokens")
        if found := _MESSAGE.match(name):
            index = int(found[1]) if found[1] else len(places)
            name = places[index] if index < len(places) else _INPUT
        elif tools and (found := _TOOL.match(name)):
            name = tools[int(found[1])] + name[found.end() :]
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


def _session(params: Params) -> str:
    key = params.prompt_cache_key if isinstance(params, ResponseParams) else None
    return key if isinstance(key, str) else ""


def _thinking(params: Params) -> Thinking:
    effort = params.reasoning.effort if params.reasoning else None
    variables = params.chat_template_kwargs if isinstance(params, ResponseParams) else None
    return checked_thinking(Thinking(effort=effort, variables=variables or {}, names=_NAMES))
