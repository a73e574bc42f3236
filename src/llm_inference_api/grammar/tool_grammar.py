"""Constraints for answers with tool calls.

Grammars are in llguidance's dialect of Lark (https://github.com/guidance-ai/llguidance, docs/syntax.md).
"""

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from llm_inference_api.requests.constraint import ArgumentSchema, ArgumentSchemas, Constraint, FollowedSchema, Language
from llm_inference_api.requests.tools import ToolMode, ToolUse
from llm_inference_api.text.families.thoughts import Terminal, up_to
from llm_inference_api.text.families.tool_format import (
    ARGS,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_CALLS,
    ToolFormat,
)


class SchemaWriter(Protocol):
    """Writes JSON schemas of arguments for grammars; see `constraint.Grammars.arguments`."""

    def __call__(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:
        """Returns the schemas as parts of a grammar."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Syntax of tool calls in a tool format. All strings are Lark."""

    trigger: str
    """Marker that starts a call; empty if calls have none."""
    before: str
    between: str
    after: str
    call_start: str
    call_end: str
    repeats_trigger: bool = False
    """Whether each call has the trigger, instead of one before all calls."""


def tool_constraint(
    use: ToolUse, form: ToolFormat, terminal: Terminal, write: SchemaWriter, words: Constraint | None = None
) -> Constraint:
    """Returns the constraint of an answer that may or must call tools.

    Args:
        use: The tools, and whether a call is required and parallel calls are allowed.
        form: The model's tool format.
        terminal: Returns a marker as a Lark terminal.
        write: Returns JSON schemas for use in a grammar.
        words: Constraint of an answer without calls; None if it is free.

    Raises:
        InvalidFieldError: A tool's schema allows no object, cannot be followed, or is too expensive to compile.
    """
    start = _start(use, _form(form, terminal), has_words=words is not None)
    tools = use.callable
    names = " | ".join(f"call_{index}" for index in range(len(tools)))
    schemas = write([ArgumentSchema(tool.parameters, tool.field, tool.strict) for tool in tools])
    rules = (_call_rules(index, tool.name, schemas[index].schema, form, terminal) for index, tool in enumerate(tools))
    calls = list(chain.from_iterable(rules))
    source = "\n".join([*start, f"call: {names}", *calls, "TEXT: /(.|\\n)*/"])
    # Only included if the start rule refers to it: llguidance rejects unused grammars.
    needed = words if use.mode is ToolMode.AUTO else None
    ignored = tuple(chain.from_iterable(schema.ignored for schema in schemas))
    closing = json.loads(_form(form, terminal).after or '""') if use.mode is ToolMode.REQUIRED else None
    return Constraint(Language.LARK, source, "tools", words=needed, ignored=ignored, closing=closing)


def _start(use: ToolUse, form: _Form, *, has_words: bool) -> list[str]:
    if use.mode is ToolMode.REQUIRED:
        return [f"start: {_calls(use, form)}"]
    if has_words:
        return [f"start: {_calls(use, form)} | @words"]
    return _free(use, form)


def _form(form: ToolFormat, terminal: Terminal) -> _Form:
    match form:
        case ToolFormat.HERMES | ToolFormat.GENERIC:
            start, end = '"\\n{\\"name\\": "', f'"}}\\n" {terminal(TOOL_CALL_END)}'
            return _Form(terminal(TOOL_CALL), "", '"\\n"', "", start, end, repeats_trigger=True)
        case ToolFormat.LLAMA:
            return _Form("", "", '"; "', "", '"{\\"name\\": "', '"}"')
        case ToolFormat.MISTRAL:
            return _Form(terminal(TOOL_CALLS), '"["', '", "', '"]"', '"{\\"name\\": "', '"}"')
        case ToolFormat.MISTRAL_ARGS:
            return _Form(terminal(TOOL_CALLS), "", "", "", "", "", repeats_trigger=True)


def _call_rules(index: int, name: str, schema: dict[str, Any], form: ToolFormat, terminal: Terminal) -> list[str]:
    shape = _form(form, terminal)
    if form is ToolFormat.MISTRAL_ARGS:
        head = f"{_quoted(name)} {terminal(ARGS)}"
    else:
        key = "parameters" if form is ToolFormat.LLAMA else "arguments"
        head = _quoted(f'{json.dumps(name)}, "{key}": ')
    return [
        f"call_{index}: {shape.call_start} {head} args_{index} {shape.call_end}",
        f"args_{index}: %json {json.dumps(schema)}",
    ]


def _calls(use: ToolUse, form: _Form) -> str:
    trigger = form.trigger if form.repeats_trigger else ""
    more = f"({form.between} {trigger} call)*" if use.parallel and use.function is None else ""
    once = "" if form.repeats_trigger else form.trigger
    return f"{once} {form.before} {trigger} call {more} {form.after}"


def _free(use: ToolUse, form: _Form) -> list[str]:
    more = f"({form.between} call)*" if use.parallel else ""
    if not form.trigger:
        # Without a trigger, an answer is text unless it starts like a call.
        return [f"start: words | call {more}", "words: /([^{ \\n](.|\\n)*)?/"]
    head = up_to("head", form.trigger)
    if not form.repeats_trigger:
        return [f"start: TEXT | head {form.before} call {more} {form.after}", head]
    # Without parallel calls, nothing may follow the call: TEXT could match a second one.
    return ["start: (head call)* TEXT" if use.parallel else "start: TEXT | head call", head]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
