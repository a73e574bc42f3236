"""What a request says about the thoughts before its answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_object import check_object

NO_EFFORT = "none"
"""The effort that turns thinking off."""
RESERVED = frozenset(
    {
        "add_generation_prompt",
        "bos_token",
        "continue_final_message",
        "documents",
        "eos_token",
        "functions",
        "messages",
        "tools",
    }
)
"""Variables of a chat template that the service sets."""
VARIABLES = "chat_template_kwargs"
"""Name of the field with the variables of the template, on all wires."""
LONGEST_EFFORT = 32
"""Characters."""


class Names(NamedTuple):
    """The names by which a request has set the fields, for error messages."""

    enabled: str = "thinking"
    effort: str = "reasoning_effort"
    budget: str = "thinking_budget"


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether and how much to think. What a model's chat template makes of it is in `text.families.switching`."""

    enabled: bool | None = None
    """Whether to think; None: as the effort says, or as the chat template does by itself."""
    effort: str | None = None
    """A word that the chat template knows, other than `NO_EFFORT`."""
    budget: int | None = None
    """Number of tokens of thoughts after which they are closed; 0: no thoughts. None: no limit."""
    variables: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """Other variables of the chat template."""
    is_shown: bool = True
    """Whether the answer has the thoughts."""
    names: Names = field(default=Names(), compare=False)
    effort_is_default: bool = False
    """Whether the effort is the one that the caller's API takes for granted: it means nothing where the template does
    not know it, or where thinking is off."""

    def __reduce__(self) -> tuple[type["Thinking"], tuple[object, ...]]:
        """Pickles the variables as a dict: a request crosses the pipe to its worker."""
        said = (self.enabled, self.effort, self.budget, dict(self.variables), self.is_shown)
        return Thinking, (*said, self.names, self.effort_is_default)


DEFAULT = Thinking()
"""That of a request that says nothing."""


def checked_thinking(thinking: Thinking) -> Thinking:
    """Returns what is meant; the effort `none` turns thinking off.

    Raises:
        InvalidFieldError: A field is invalid, contradicts another one, or names a variable that the service sets.
    """
    enabled, effort, names = thinking.enabled, thinking.effort, thinking.names
    if enabled is False and thinking.effort_is_default:
        effort = None
    if effort is not None and not 1 <= len(effort) <= LONGEST_EFFORT:
        raise InvalidFieldError(names.effort, f"must have 1 to {LONGEST_EFFORT} characters, not {len(effort)}")
    if enabled is not None and effort is not None and enabled is (effort == NO_EFFORT):
        state = "on" if enabled else "off"
        raise InvalidFieldError(names.effort, f"{effort!r} contradicts {names.enabled}, which turns thinking {state}")
    if thinking.budget == 0 and (enabled or effort not in (None, NO_EFFORT)):
        problem = f"of 0 contradicts {names.enabled if enabled else names.effort}, which asks for thoughts"
        raise InvalidFieldError(names.budget, problem)
    _check(thinking.variables)
    if effort != NO_EFFORT:
        return replace(thinking, effort=effort)
    return replace(thinking, enabled=False, effort=None, names=names._replace(enabled=names.effort))


def _check(variables: Mapping[str, object]) -> None:
    for name in variables:
        if name in RESERVED:
            raise InvalidFieldError(f"{VARIABLES}.{name}", "is set by the service from the request's own fields")
    if variables:
        check_object(json.dumps(dict(variables)), VARIABLES)
