import pickle
from typing import Any

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.thinking import RESERVED, Thinking, checked_thinking


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"enabled": True}, {"enabled": True}),
        ({"effort": "high"}, {"effort": "high"}),
        ({"effort": "none"}, {"enabled": False}),
        ({"enabled": False, "effort": "none"}, {"enabled": False}),
        ({"enabled": True, "effort": "low"}, {"enabled": True, "effort": "low"}),
        ({"enabled": False, "budget": 0}, {"enabled": False, "budget": 0}),
        ({"enabled": False, "budget": 10}, {"enabled": False, "budget": 10}),
        (
            {"enabled": False, "effort": "high", "effort_is_default": True},
            {"enabled": False, "effort_is_default": True},
        ),
    ],
)
def test_what_is_said_of_thinking(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """The effort `none` is the same as no thinking."""
    assert checked_thinking(Thinking(**given)) == Thinking(**expected)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"enabled": True, "effort": "none"}, "reasoning_effort"),
        ({"enabled": False, "effort": "high"}, "reasoning_effort"),
        ({"effort": ""}, "reasoning_effort"),
        ({"effort": "x" * 33}, "reasoning_effort"),
        ({"enabled": True, "budget": 0}, "thinking_budget"),
        ({"effort": "low", "budget": 0}, "thinking_budget"),
        ({"variables": {"x": "y" * (65 << 10)}}, "chat_template_kwargs"),
        ({"variables": {"x": float("nan")}}, "chat_template_kwargs"),
    ],
)
def test_contradictions_are_refused_by_name(given: dict[str, Any], field: str) -> None:
    """Fields that cannot both hold are an error of the later one, as are invalid ones."""
    with pytest.raises(InvalidFieldError) as caught:
        checked_thinking(Thinking(**given))
    assert caught.value.field == field


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_variables_that_the_service_sets_are_refused(name: str) -> None:
    """A caller sets messages and tools by the request's own fields."""
    with pytest.raises(InvalidFieldError, match=rf"chat_template_kwargs.{name}"):
        checked_thinking(Thinking(variables={name: []}))


def test_thinking_crosses_a_pipe() -> None:
    """The worker gets what was asked, with the names for its errors."""
    asked = checked_thinking(
        Thinking(effort="none", budget=3, variables={"a": 1}, is_shown=False, effort_is_default=True)
    )
    found = pickle.loads(pickle.dumps(asked))
    assert (found, found.names) == (asked, asked.names)
    assert pickle.loads(pickle.dumps(Thinking())) == Thinking()
