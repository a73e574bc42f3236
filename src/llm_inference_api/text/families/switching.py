"""Turns what a request says of thinking into variables of the model's chat template."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.model_info import ThinkingOptions
from llm_inference_api.requests.thinking import NO_EFFORT, VARIABLES, Thinking, checked_thinking
from llm_inference_api.text.families.form import Form, Switch

Variables = dict[str, object]

BY_DEFAULT: Mapping[str, object] = {"enable_thinking": True}
"""What llama.cpp tells a template where nothing is said (common/chat.cpp). Those that read `enable_thinking` without a
test for it switch thoughts off where it is undefined."""
_SWITCHES = ("enable_thinking", "thinking")
_EFFORT = "reasoning_effort"
"""Names by which clients know the variables of most templates. They mean the same where a template has others."""


def variables_of(thinking: Thinking, switch: Switch | None, reads: Callable[[str], bool]) -> Variables:
    """Returns the variables that a template is given.

    Args:
        thinking: What the request says.
        switch: How the template is told whether to think; None if it is not.
        reads: Returns whether the template reads a variable.

    Raises:
        InvalidFieldError: The template knows no such switch, effort or variable.
    """
    switch = switch or Switch("")
    thinking = _with_known_names(thinking, reads)
    if thinking.effort_is_default and thinking.effort not in switch.efforts:
        thinking = replace(thinking, effort=None)
    found = _typed(thinking, switch)
    for name, value in thinking.variables.items():
        if not reads(name):
            raise InvalidFieldError(f"{VARIABLES}.{name}", "is not read by this model's chat template; leave it out")
        if found.get(name, value) != value:
            raise InvalidFieldError(f"{VARIABLES}.{name}", f"contradicts {_source(thinking)}; leave one of them out")
    by_default = BY_DEFAULT if not found and (switch is None or switch.default) else {}
    return {**by_default, **found, **thinking.variables}


def thinking_options(form: Form) -> ThinkingOptions:
    """Returns what requests may say of thinking to a model with this form."""
    switch = form.switch
    if switch is None:
        return ThinkingOptions()
    can_be_off = bool(switch.variable) or NO_EFFORT in switch.efforts
    return ThinkingOptions(can_be_off, switch.efforts, switch.default)


def check_budget(thinking: Thinking, form: Form) -> None:
    """Raises InvalidFieldError if there is a budget, and the form has nothing to end thoughts with."""
    can_end = form.contents or all(block.closing.strip() for block in form.thoughts)
    if thinking.budget is not None and not can_end:
        raise InvalidFieldError(thinking.names.budget, "this model's thoughts have no end that could be written")


def _typed(thinking: Thinking, switch: Switch) -> Variables:
    """Returns the variables for what the request says by fields of its own."""
    if thinking.enabled is False:
        return _off(thinking.names.enabled, switch)
    if thinking.effort is not None:
        return {**_on(thinking, switch), switch.effort_variable: _known(thinking.effort, thinking.names.effort, switch)}
    if thinking.enabled:
        if not switch.variable and not switch.efforts:
            raise InvalidFieldError(thinking.names.enabled, _NO_SWITCH)
        if not switch.variable and not switch.default:
            problem = f"this model's chat template is told how much to think; set {_EFFORT} to {_list(switch.efforts)}"
            raise InvalidFieldError(thinking.names.enabled, problem)
        return _on(thinking, switch)
    if thinking.budget and _takes_budgets(switch):
        return _on(thinking, switch)
    if thinking.budget == 0 and (switch.variable or NO_EFFORT in switch.efforts):
        return _off(thinking.names.budget, switch)
    return {}


def _on(thinking: Thinking, switch: Switch) -> Variables:
    if not switch.variable:
        return {}
    return {switch.variable: thinking.budget if thinking.budget and _takes_budgets(switch) else switch.on}


def _takes_budgets(switch: Switch) -> bool:
    """Returns whether the switch is a number of tokens."""
    return isinstance(switch.off, int) and not isinstance(switch.off, bool)


def _off(field: str, switch: Switch) -> Variables:
    if switch.variable:
        return {switch.variable: switch.off}
    if NO_EFFORT in switch.efforts:
        return {switch.effort_variable: NO_EFFORT}
    if switch.efforts:
        problem = f"this model's chat template cannot turn thinking off; {_EFFORT} may be {_list(switch.efforts)}"
        raise InvalidFieldError(field, problem)
    raise InvalidFieldError(field, _NO_SWITCH)


def _known(effort: str, field: str, switch: Switch) -> str:
    if effort in switch.efforts:
        return effort
    if switch.efforts:
        problem = f"must be {_list(switch.efforts)}, which this model's chat template knows, not {effort!r}"
        raise InvalidFieldError(field, problem)
    if switch.variable:
        problem = "this model's chat template knows no efforts; thinking can only be turned on and off"
        raise InvalidFieldError(field, problem)
    raise InvalidFieldError(field, _NO_SWITCH)


def _with_known_names(thinking: Thinking, reads: Callable[[str], bool]) -> Thinking:
    """Returns the same with usual names among the variables, which the template does not read, as what they mean."""
    variables, names = dict(thinking.variables), thinking.names
    for name in _SWITCHES:
        if isinstance(variables.get(name), bool) and not reads(name):
            enabled, names = bool(variables.pop(name)), names._replace(enabled=f"{VARIABLES}.{name}")
            if thinking.enabled not in (None, enabled):
                raise InvalidFieldError(names.enabled, f"contradicts {_source(thinking)}; leave one of them out")
            thinking = replace(thinking, enabled=enabled, names=names)
    if isinstance(variables.get(_EFFORT), str) and not reads(_EFFORT):
        effort, names = str(variables.pop(_EFFORT)), names._replace(effort=f"{VARIABLES}.{_EFFORT}")
        if thinking.effort not in (None, effort):
            raise InvalidFieldError(names.effort, f"contradicts {thinking.names.effort}; leave one of them out")
        thinking = replace(thinking, effort=effort, names=names)
    return checked_thinking(replace(thinking, variables=variables))


def _source(thinking: Thinking) -> str:
    """Returns the name of the field that has the request's switch or effort."""
    if thinking.enabled is None and thinking.effort is None:
        return thinking.names.budget
    return thinking.names.effort if thinking.enabled is None else thinking.names.enabled


def _list(efforts: tuple[str, ...]) -> str:
    *others, last = efforts
    return f"{', '.join(others)} or {last}" if others else last


_NO_SWITCH = "this model's chat template has no switch for thinking; leave it out"
