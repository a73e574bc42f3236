"""Grammars for answers that call tools, where the request does not leave that to the model.

They are Lark with llguidance's additions (https://github.com/guidance-ai/llguidance, docs/syntax.md).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from llm_inference_api.engine.constraint import json_schema
from llm_inference_api.engine.request import Constraint, Language
from llm_inference_api.engine.tool_format import (
    ARGS,
    THINK,
    THINK_END,
    TOOL_CALL,
    TOOL_CALL_END,
    TOOL_CALLS,
    ToolFormat,
)
from llm_inference_api.engine.tools import Tool, ToolMode, ToolUse

Terminal = Callable[[str], str]
"""Returns how the grammar spells a marker: as its token where it is one, else as its text."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How calls are put together. All parts are Lark."""

    trigger: str
    """What tells calls from words; empty where calls begin at once."""
    before: str
    between: str
    after: str
    call_start: str
    call_end: str
    repeats_trigger: bool = False
    """Whether each call has the trigger, or one stands before all."""


def tool_constraint(use: ToolUse, form: ToolFormat, terminal: Terminal, *, after_thoughts: bool = False) -> Constraint:
    """Returns what restricts an answer to words and calls of these tools, as far as the request leaves it free.

    `after_thoughts` is for models whose answers begin inside their thoughts; these stay free.
    """
    answer = _forced(use, _form(form, terminal)) if use.mode is ToolMode.REQUIRED else _free(use, _form(form, terminal))
    tools = use.callable
    names = " | ".join(f"call_{index}" for index in range(len(tools)))
    calls = [rule for index, tool in enumerate(tools) for rule in _call_rules(index, tool, form, terminal)]
    start = _start(terminal, after_thoughts=after_thoughts)
    return Constraint(
        Language.LARK, "\n".join([*start, *answer, f"call: {names}", *calls, "TEXT: /(.|\\n)*/"]), "tools"
    )


def _start(terminal: Terminal, *, after_thoughts: bool) -> list[str]:
    end = _up_to("thoughts_end", terminal(THINK_END))
    if after_thoughts:
        return ["start: thoughts_end LINES answer", end, _LINES]
    if terminal(THINK).startswith("<["):  # Words hold no such token.
        return [f"start: ({terminal(THINK)} thoughts_end LINES)? answer", end, _LINES]
    return ["start: answer"]


_LINES = "LINES: /\\n*/"


def _up_to(rule: str, terminal: str) -> str:
    """Returns a rule for any text up to the terminal: a token, or the first place of a text."""
    return f"{rule}: TEXT {terminal}" if terminal.startswith("<[") else f"{rule}[lazy]: TEXT {terminal}"


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


def _call_rules(index: int, tool: Tool, form: ToolFormat, terminal: Terminal) -> list[str]:
    shape = _form(form, terminal)
    if form is ToolFormat.MISTRAL_ARGS:
        name = f"{_quoted(tool.name)} {terminal(ARGS)}"
    else:
        key = "parameters" if form is ToolFormat.LLAMA else "arguments"
        name = _quoted(f'{json.dumps(tool.name)}, "{key}": ')
    return [
        f"call_{index}: {shape.call_start} {name} args_{index} {shape.call_end}",
        f"args_{index}: %json {json.dumps(json_schema(json.loads(tool.parameters), strict=tool.strict))}",
    ]


def _forced(use: ToolUse, form: _Form) -> list[str]:
    trigger = form.trigger if form.repeats_trigger else ""
    more = f"({form.between} {trigger} call)*" if use.parallel else ""
    once = "" if form.repeats_trigger else form.trigger
    return [f"answer: {once} {form.before} {trigger} call {more} {form.after}"]


def _free(use: ToolUse, form: _Form) -> list[str]:
    more = f"({form.between} call)*" if use.parallel else ""
    if not form.trigger:
        # Words do not begin like a call.
        return [f"answer: words | call {more}", "words: /([^{ \\n](.|\\n)*)?/"]
    head = _up_to("head", form.trigger)
    if not form.repeats_trigger:
        return [f"answer: TEXT | head {form.before} call {more} {form.after}", head]
    # Where one call only is wanted it comes last: what follows it could hold the text of a second one.
    return ["answer: (head call)* TEXT" if use.parallel else "answer: TEXT | head call", head]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
