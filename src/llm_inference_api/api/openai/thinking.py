"""Reads what a chat completion says of thinking, by any of the names that OpenAI and other servers have for it."""

from typing import TypeVar

from llm_inference_api.api.openai.params import ChatCompletionParams, ReasoningParam
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.limits import NO_LIMIT
from llm_inference_api.requests.thinking import Names, Thinking, checked_thinking

Value = TypeVar("Value")
_MOST_TOKENS = 2**32 - 1


def thinking_of(params: ChatCompletionParams) -> Thinking:
    """Returns whether and how much to think. Raises InvalidFieldError with the name that the caller sent."""
    reasoning, thinking = params.reasoning or ReasoningParam(), params.thinking
    enabled, enabled_name = _one(
        {
            "thinking": thinking.type == "enabled" if thinking else None,
            "enable_thinking": params.enable_thinking,
            "reasoning.enabled": reasoning.enabled,
        }
    )
    effort, effort_name = _one({"reasoning_effort": params.reasoning_effort, "reasoning.effort": reasoning.effort})
    budget, budget_name = _one(
        {
            "thinking_budget": params.thinking_budget,
            "thinking_token_budget": params.thinking_token_budget,
            "thinking_budget_tokens": params.thinking_budget_tokens,
            "reasoning_budget_tokens": params.reasoning_budget_tokens,
            "thinking.budget_tokens": thinking.budget_tokens if thinking else None,
            "reasoning.max_tokens": reasoning.max_tokens,
        }
    )
    included = None if reasoning.exclude is None else not reasoning.exclude
    shown, _ = _one({"include_reasoning": params.include_reasoning, "reasoning.exclude": included})
    return checked_thinking(
        Thinking(
            enabled,
            effort,
            _checked(budget_name, budget),
            params.chat_template_kwargs or {},
            shown is not False,
            Names(enabled_name, effort_name, budget_name),
        )
    )


def _one(given: dict[str, Value | None]) -> tuple[Value | None, str]:
    """Returns the value that is given, and its name; the first name if none is.

    Raises:
        InvalidFieldError: Two names have different values.
    """
    values = [(name, value) for name, value in given.items() if value is not None]
    name, value = values[0] if values else (next(iter(given)), None)
    for other, its in values:
        if its != value:
            raise InvalidFieldError(other, f"contradicts {name}; leave one of them out")
    return value, name


def _checked(name: str, budget: int | None) -> int | None:
    """Returns the number of tokens; None for -1, which is no limit in llama.cpp's server."""
    if budget is None or budget == NO_LIMIT:
        return None
    if not 0 <= budget <= _MOST_TOKENS:
        raise InvalidFieldError(name, f"must be an integer from 0 to {_MOST_TOKENS}, not {budget}")
    return budget
