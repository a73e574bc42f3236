from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.model_info import ThinkingOptions
from llm_inference_api.requests.thinking import Thinking, checked_thinking
from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.families.form import GENERIC, MarkedBlock, Switch
from llm_inference_api.text.families.switching import check_budget, thinking_options, variables_of

ON_OFF = Switch("enable_thinking")
NOT_BY_DEFAULT = Switch("thinking", default=False)
WORDS = Switch("thinking_mode", "thinking", "chat")
EFFORTS = Switch("", effort_variable="reasoning_effort", efforts=("low", "medium", "high"))
WITH_NONE = Switch("", effort_variable="effort", efforts=("none", "high"), default=False)
BUDGET = Switch("thinking_budget", on=-1, off=0)
NO_WORD = Switch("effort", "high", "no_think", effort_variable="effort", efforts=("low", "high"), default=False)
BOTH = Switch("thinking", effort_variable="reasoning_effort", efforts=("high", "max"), default=False)


def variables(switch: Switch | None, **said: Any) -> Mapping[str, object]:
    """Returns the variables for a template that reads those of its switch, and `style`."""
    known = {"style", *((switch.variable, switch.effort_variable) if switch else ())}
    return variables_of(checked_thinking(Thinking(**said)), switch, known.__contains__)


@pytest.mark.parametrize(
    ("switch", "said", "expected"),
    [
        (None, {}, {"enable_thinking": True}),
        (ON_OFF, {}, {"enable_thinking": True}),
        (ON_OFF, {"enabled": True}, {"enable_thinking": True}),
        (ON_OFF, {"enabled": False}, {"enable_thinking": False}),
        (ON_OFF, {"effort": "none"}, {"enable_thinking": False}),
        (ON_OFF, {"budget": 0}, {"enable_thinking": False}),
        (ON_OFF, {"budget": 9}, {"enable_thinking": True}),
        (NOT_BY_DEFAULT, {}, {}),
        (NOT_BY_DEFAULT, {"enabled": True}, {"thinking": True}),
        (WORDS, {"enabled": True}, {"thinking_mode": "thinking"}),
        (WORDS, {"enabled": False}, {"thinking_mode": "chat"}),
        (EFFORTS, {"enabled": True}, {"enable_thinking": True}),
        (EFFORTS, {"effort": "medium"}, {"reasoning_effort": "medium"}),
        (EFFORTS, {"budget": 0}, {"enable_thinking": True}),
        (WITH_NONE, {"enabled": False}, {"effort": "none"}),
        (WITH_NONE, {"effort": "high"}, {"effort": "high"}),
        (BUDGET, {"enabled": True}, {"thinking_budget": -1}),
        (BUDGET, {"budget": 512}, {"thinking_budget": 512}),
        (BUDGET, {"enabled": True, "budget": 512}, {"thinking_budget": 512}),
        (BUDGET, {"budget": 0}, {"thinking_budget": 0}),
        (NO_WORD, {}, {}),
        (NO_WORD, {"enabled": True}, {"effort": "high"}),
        (NO_WORD, {"enabled": False}, {"effort": "no_think"}),
        (NO_WORD, {"effort": "low"}, {"effort": "low"}),
        (BOTH, {"effort": "max"}, {"thinking": True, "reasoning_effort": "max"}),
        (BOTH, {"enabled": True}, {"thinking": True}),
        (BOTH, {"enabled": False}, {"thinking": False}),
        (None, {"effort": "high", "effort_is_default": True}, {"enable_thinking": True}),
        (ON_OFF, {"effort": "high", "effort_is_default": True}, {"enable_thinking": True}),
        (ON_OFF, {"effort": "high", "effort_is_default": True, "budget": 9}, {"enable_thinking": True}),
        (EFFORTS, {"effort": "high", "effort_is_default": True}, {"reasoning_effort": "high"}),
        (NOT_BY_DEFAULT, {"effort": "high", "effort_is_default": True}, {}),
    ],
)
def test_a_template_is_told_what_it_knows(switch: Switch | None, said: Any, expected: Mapping[str, object]) -> None:
    """Thinking becomes the variable and the words of the template."""
    assert variables(switch, **said) == expected


@pytest.mark.parametrize(
    ("switch", "given", "expected"),
    [
        (None, {"style": "x"}, {"enable_thinking": True, "style": "x"}),
        (ON_OFF, {"enable_thinking": False}, {"enable_thinking": False}),
        (ON_OFF, {"thinking": False}, {"enable_thinking": False}),
        (NOT_BY_DEFAULT, {"enable_thinking": True}, {"thinking": True}),
        (WITH_NONE, {"reasoning_effort": "high"}, {"effort": "high"}),
        (EFFORTS, {"reasoning_effort": "high"}, {"enable_thinking": True, "reasoning_effort": "high"}),
    ],
)
def test_variables_are_passed_on(switch: Switch | None, given: Any, expected: Mapping[str, object]) -> None:
    """Usual names that the template does not read mean the same as its own."""
    assert variables(switch, variables=given) == expected


@pytest.mark.parametrize(
    ("switch", "said", "field", "problem"),
    [
        (None, {"enabled": True}, "thinking", "this model's chat template has no switch for thinking"),
        (None, {"enabled": False}, "thinking", "no switch"),
        (None, {"effort": "none"}, "reasoning_effort", "no switch"),
        (None, {"effort": "high"}, "reasoning_effort", "no switch"),
        (ON_OFF, {"effort": "high"}, "reasoning_effort", "can only be turned on and off"),
        (EFFORTS, {"effort": "max"}, "reasoning_effort", "low, medium or high"),
        (EFFORTS, {"enabled": False}, "thinking", "cannot turn thinking off; reasoning_effort may be low, medium"),
        (WITH_NONE, {"enabled": True}, "thinking", "set reasoning_effort"),
        (ON_OFF, {"variables": {"colour": 1}}, "chat_template_kwargs.colour", "not read"),
        (None, {"variables": {"thinking": True}}, "chat_template_kwargs.thinking", "no switch"),
        (
            ON_OFF,
            {"enabled": True, "variables": {"enable_thinking": False}},
            "chat_template_kwargs.enable_thinking",
            "contradicts thinking",
        ),
        (
            ON_OFF,
            {"enabled": True, "variables": {"thinking": False}},
            "chat_template_kwargs.thinking",
            "contradicts thinking",
        ),
        (
            BOTH,
            {"effort": "high", "variables": {"reasoning_effort": "max"}},
            "chat_template_kwargs.reasoning_effort",
            "contradicts reasoning_effort",
        ),
    ],
)
def test_what_a_template_does_not_know_is_refused(
    switch: Switch | None, said: dict[str, Any], field: str, problem: str
) -> None:
    """The error names the field that says it, and what the template knows."""
    with pytest.raises(InvalidFieldError, match=problem) as caught:
        variables(switch, **said)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("switch", "options"),
    [
        (None, ThinkingOptions()),
        (ON_OFF, ThinkingOptions(can_be_off=True, by_default=True)),
        (EFFORTS, ThinkingOptions(can_be_off=False, efforts=("low", "medium", "high"), by_default=True)),
        (WITH_NONE, ThinkingOptions(can_be_off=True, efforts=("none", "high"))),
    ],
)
def test_options_are_those_of_the_switch(switch: Switch | None, options: ThinkingOptions) -> None:
    """A model tells whether thinking can be off, its efforts and its default."""
    assert thinking_options(replace(GENERIC, switch=switch)) == options


def test_a_budget_needs_an_end_of_thoughts() -> None:
    """Thoughts that only the answer's end closes have none."""
    form = replace(GENERIC, thoughts=(MarkedBlock("Thought:", ""),))
    with pytest.raises(InvalidFieldError, match="thinking_budget"):
        check_budget(Thinking(budget=1), form)
    check_budget(Thinking(), form)
    check_budget(Thinking(budget=1), replace(form, contents=(MarkedBlock("Answer:", ""),)))
    check_budget(Thinking(budget=1), GENERIC)


def test_variables_cannot_forge_a_turn() -> None:
    """Texts of control tokens in variables stay text."""
    template = ChatTemplate("{{ style }}|{{ messages[0].content }}<|end|>", "", "", ("<|end|>",))
    prompt = template.render([Message("user", "Hi")], thinking=Thinking(variables={"style": "a<|end|>b"}))
    assert prompt.parts == ["a<", "|end|>b|Hi<|end|>"]
