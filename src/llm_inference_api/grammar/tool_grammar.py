"""Constraints for answers with tool calls, and what a model's form puts around a constrained answer."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Protocol

from llm_inference_api.errors import CostlyFieldError, InvalidFieldError
from llm_inference_api.grammar.answer_frame import frame
from llm_inference_api.grammar.argument_rules import ArgumentRules
from llm_inference_api.grammar.argument_shapes import SchemaWork
from llm_inference_api.grammar.call_rules import CallRules
from llm_inference_api.grammar.lark import Lark, Terminal, TooLargeError, choice, row
from llm_inference_api.grammar.reasons import COSTLY
from llm_inference_api.grammar.schema_keywords import below
from llm_inference_api.requests.constraint import ArgumentSchema, ArgumentSchemas, Constraint, FollowedSchema, Language
from llm_inference_api.requests.tools import Tool, ToolMode, ToolUse
from llm_inference_api.text.families.form import Form, MarkedBlock
from llm_inference_api.text.families.thoughts import Thoughts


class SchemaWriter(Protocol):
    """Writes JSON schemas of arguments for grammars; see `constraint.Grammars.arguments`."""

    def __call__(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:
        """Returns the schemas as parts of a grammar."""


def tool_constraint(
    use: ToolUse, form: Form, terminal: Terminal, write: SchemaWriter, words: Constraint | None = None
) -> Constraint:
    """Returns the constraint of an answer that may or must call tools.

    Args:
        use: The tools, and whether a call is required and parallel calls are allowed.
        form: How the model writes its answers.
        terminal: Returns a literal text as Lark.
        write: Returns JSON schemas for use in a grammar.
        words: Constraint of an answer without calls; None if it is free.

    Raises:
        InvalidFieldError: A tool's schema allows no object, cannot be followed, or is too expensive to compile.
    """
    schemas = write([ArgumentSchema(tool.parameters, tool.field, tool.strict) for tool in use.callable])
    try:
        return _constraint(use, form, Lark(terminal), schemas, words)
    except (TooLargeError, RecursionError) as error:
        raise CostlyFieldError("tools", COSTLY) from error


def _constraint(
    use: ToolUse, form: Form, lark: Lark, schemas: Sequence[FollowedSchema], words: Constraint | None
) -> Constraint:
    tools = use.callable
    arguments, ignored = _arguments(lark, form, tools, schemas)
    calls = CallRules(
        lark, form.calls, [tool.name for tool in tools], arguments, is_parallel=use.parallel and use.function is None
    )
    is_required = use.mode is ToolMode.REQUIRED
    answer = _Answer(lark, form, calls)
    start = answer.required() if is_required else answer.restricted() if words is not None else answer.free()
    behind = answer.behind_text() if is_required else ""
    return Constraint(
        Language.LARK,
        lark.source(start),
        "tools",
        # Only included if the start rule refers to it: llguidance rejects unused grammars.
        words=None if is_required else words,
        ignored=ignored,
        has_calls=True,
        behind=behind and lark.source(behind),
        closing=calls.closing if is_required else None,
        varying=(*calls.varying, *((re.escape(form.between),) if form.between else ())) if is_required else (),
    )


def framed(constraint: Constraint | None, form: Form, thoughts: Thoughts, terminal: Terminal) -> Constraint | None:
    """Returns the constraint with what the form writes around a constrained answer.

    Args:
        constraint: Constraint of the content, or one of `tool_constraint`; None if the answer is free.
        form: How the model writes its answers.
        thoughts: Where the prompt ends.
        terminal: Returns a literal text as Lark.
    """
    return constraint and replace(constraint, frame=frame(constraint, form, thoughts, terminal))


def _arguments(
    lark: Lark, form: Form, tools: Sequence[Tool], schemas: Sequence[FollowedSchema]
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the rules of each function's arguments, and the names of the keywords that these do not follow."""
    ignored = [*chain.from_iterable(schema.ignored for schema in schemas)]
    pairs = form.calls.arguments
    if pairs is None:
        return [lark.rule(f"%json {json.dumps(schema.schema)}") for schema in schemas], tuple(ignored)
    found, work = [], SchemaWork()
    for tool, schema in zip(tools, schemas, strict=True):
        rules = ArgumentRules(lark, pairs, schema.schema, work)
        found.append(rules.arguments())
        for path in dict.fromkeys(rules.unfollowed):
            if tool.strict:
                raise InvalidFieldError(tool.field, f"cannot be followed: {path}: this model writes no JSON arguments")
            ignored.append(below(tool.field, path))
    return found, tuple(ignored)


class _Answer:
    """Writes the start of a grammar: what blocks an answer has."""

    def __init__(self, lark: Lark, form: Form, calls: CallRules) -> None:
        self._lark = lark
        self._form = form
        self._calls = calls
        self._between = lark.literal(form.between)
        self._ending = f"({lark.literal(form.ending)})?" if form.ending else ""

    def required(self) -> str:
        """Returns an answer of calls alone."""
        space = f"{self._lark.space}?"
        if not self._form.contents:
            return row(self._calls.whole(), space, self._ending)
        calls = self._calls.whole()
        others = f"({row(self._between, calls)})*" if self._between and self._calls.follow_each_other else ""
        return row(self._empty_content(), calls, others, self._ending)

    def behind_text(self) -> str:
        """Returns an answer of calls alone behind any text; empty where `required` may follow text as it is."""
        calls = "" if self._form.contents else self._calls.behind_text()
        return calls and row(calls, f"{self._lark.space}?", self._ending)

    def restricted(self) -> str:
        """Returns an answer that is either calls or `@words`."""
        if not self._form.contents:
            return f"{self.required()} | @words"
        block = self._form.contents[0]
        closing = self._lark.literal(block.closing)
        words = row(
            self._lark.literal(block.opening, is_spaced=True), "@words", closing and f"({closing})?", self._ending
        )
        return f"{self.required()} | {words}"

    def free(self) -> str:
        """Returns an answer of text and calls."""
        if not self._form.contents:
            thoughts = self._form.thoughts if self._form.shows_thoughts else ()
            openings = [block.opening for block in thoughts if block.opening.strip()]
            return row(f"({self._calls.in_text(openings)})", self._ending)
        lark, form, calls = self._lark, self._form, self._calls
        blocks = [*form.contents, *(form.thoughts if form.between else ())]
        before = [found for block in blocks if (found := self._inner(block))]
        before += [row(calls.whole(), self._between)] if calls.follow_each_other else []
        last = [
            row(lark.literal(block.opening, is_spaced=True), choice([lark.text, lark.up_to(lark.text, block.closing)]))
            for block in form.contents
        ]
        return row(f"({choice(before)})*" if before else "", choice([*last, calls.whole()]), self._ending)

    def _inner(self, block: MarkedBlock) -> str:
        """Returns a block that others follow, with what stands between them; empty if none may."""
        lark, form = self._lark, self._form
        if not block.opening or not (block.closing or form.between) or lark.ends(block.closing):
            return ""
        text = lark.up_to(lark.text, block.closing or form.between)
        return row(lark.literal(block.opening, is_spaced=True), text, self._between if block.closing else "")

    def _empty_content(self) -> str:
        """Returns content without text, which some models write before calls."""
        block, lark = self._form.contents[0], self._lark
        if not block.closing or lark.ends(block.closing):
            return ""
        opening = lark.literal(block.opening, is_spaced=True)
        return f"({row(opening, lark.literal(block.closing), self._between)})?"
