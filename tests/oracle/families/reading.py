"""What is read from an answer of a case, beside what it means, and whether the mask lets the model write it."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.grammar.token_mask import Grammars, TokenMask
from llm_inference_api.grammar.tool_grammar import framed, tool_constraint
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.events import CallPart, Text, Thought
from llm_inference_api.requests.thinking import Thinking
from llm_inference_api.requests.tools import ToolCall, ToolMode, ToolUse
from llm_inference_api.text.chat_template import ChatTemplate, Prompt
from llm_inference_api.text.families.form import Form, Slot
from llm_inference_api.text.families.reading.answer_reader import answer_reader
from llm_inference_api.text.families.reading.reader import Part
from llm_inference_api.text.families.thoughts import Thoughts
from tests.grammar.grammars import bytes_and
from tests.oracle.families.cases import TEMPLATES, Answer, Case

_PLAIN = bytes_and(())
"""A vocabulary without special tokens: all markers are text."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    case: Case
    found: Answer | None
    """None if reading failed."""
    difference: str
    """What differs, in words; empty if nothing does."""
    spaces: bool = False
    """Whether white space differs at the ends of thoughts or content: llama.cpp's tests do not look at it."""


@cache
def template_of(material: Path, name: str) -> ChatTemplate:
    """Returns a template of llama.cpp's, by the name of its file."""
    return ChatTemplate((material / TEMPLATES / f"{name}.jinja").read_text(), "", "", ())


def prompt_of(template: ChatTemplate, case: Case) -> Prompt:
    """Returns the prompt that the answer of a case follows.

    Where the answer may have thoughts, it shows whether the prompt has opened them: a template may be told to, or
    leave that to the model.
    """
    end = Ending.CONTINUE if case.continues else Ending.ANSWER if case.begins else Ending.CLOSED
    switch = template.form.switch
    states = (None,) if switch is None or not switch.variable else (True, None) if case.thinking else (False,)
    prompts = [template.render(case.messages, case.tools, end, Thinking(state)) for state in states]
    opens = any(case.text.startswith(block.opening) for block in template.form.thoughts if block.opening)
    return next((prompt for prompt in prompts if not (opens and prompt.thoughts.are_open)), prompts[0])


def without_end(template: ChatTemplate, case: Case) -> Case:
    """Returns the case without the token that ends the turn, if its text has it: no reader ever sees that."""
    end = template.render([Message("user", "a"), Message("assistant", "bcd")], (), Ending.CLOSED).parts
    _, _, after = "".join(end).rpartition("bcd")
    is_token = bool(_TOKEN.fullmatch(after.strip()))
    return replace(case, text=case.text.removesuffix(after.strip())) if is_token else case


_TOKEN = re.compile(r"<[^<>]+>")


def outcome(template: ChatTemplate, case: Case) -> Outcome:
    """Returns what is read from a case's answer, whole and character by character."""
    try:
        case = without_end(template, case)
        thoughts = prompt_of(template, case).thoughts
        found = read(template.form, case, thoughts, max(1, len(case.text)))
        slowly = read(template.form, case, thoughts, 1)
    except Exception as error:
        return Outcome(case, None, f"fails: {type(error).__name__}: {error}"[:300])
    if found != slowly:
        return Outcome(case, found, f"streams otherwise: {slowly}")
    difference, spaces = _difference(_rest_of(case), found, has_ids=_has_ids(template.form))
    return Outcome(case, found, difference, spaces)


def read(form: Form, case: Case, thoughts: Thoughts, size: int) -> Answer:
    """Returns what is read from a case's answer that comes in texts of this size.

    Raises:
        ValueError: The sizes of the parts do not add up to that of the text.
    """
    reader = answer_reader(form, use_of(case), thoughts)
    parts: list[Part] = []
    for at in range(0, len(case.text), size):
        parts += reader.add(case.text[at : at + size], final=False)
    parts += reader.add("", final=True)
    if (total := sum(part.size for part in parts)) != len(case.text):
        raise ValueError(f"sizes add up to {total}, not {len(case.text)}")
    return _joined(parts, keeps_ids=_has_ids(form))


def _rest_of(case: Case) -> Answer:
    """Returns what a case expects, without what its prompt has of the answer."""
    if not case.continues:
        return case.expected
    begun, expected = case.messages[-1], case.expected
    content, thoughts = expected.content.removeprefix(begun.content), expected.thoughts.removeprefix(begun.reasoning)
    return replace(expected, content=content, thoughts=thoughts)


def _joined(parts: Sequence[Part], *, keeps_ids: bool) -> Answer:
    content = thoughts = ""
    calls: list[ToolCall] = []
    for piece in (part.piece for part in parts):
        if isinstance(piece, Text):
            content += piece.text
        elif isinstance(piece, Thought):
            thoughts += piece.text
        elif isinstance(piece, CallPart):
            if piece.call == len(calls):
                calls.append(ToolCall(piece.id if keeps_ids else "", piece.name, ""))
            calls[-1] = replace(calls[-1], arguments=calls[-1].arguments + piece.arguments)
    return Answer(content, thoughts, tuple(calls))


def use_of(case: Case) -> ToolUse | None:
    """Returns the tools of a case; None if it has none."""
    if not case.tools or case.choice == "none":
        return None
    is_parallel = case.is_parallel or len(case.expected.calls) > 1
    return ToolUse(case.tools, ToolMode(case.choice), parallel=is_parallel)


def _has_ids(form: Form) -> bool:
    """Returns whether calls have ids. The number of a call in its answer is none: it comes again in the next answer."""
    return Slot.ID in form.calls.call or bool(form.calls.id_of)


def _difference(expected: Answer, found: Answer, *, has_ids: bool) -> tuple[str, bool]:
    """Returns what differs, and whether white space at ends does."""
    differing = []
    if [(call.name, _arguments(call)) for call in expected.calls] != [
        (call.name, _arguments(call)) for call in found.calls
    ]:
        differing.append("calls")
    if has_ids and any(call.id not in ("", other.id) for call, other in zip(expected.calls, found.calls, strict=False)):
        differing.append("ids")
    texts = {"content": (expected.content, found.content), "thoughts": (expected.thoughts, found.thoughts)}
    differing += [name for name, (one, other) in texts.items() if one.strip() != other.strip()]
    return ", ".join(differing), any(one != other for one, other in texts.values())


def _arguments(call: ToolCall) -> object:
    try:
        return json.loads(call.arguments)
    except json.JSONDecodeError:
        return call.arguments


def mask_problem(template: ChatTemplate, case: Case, mode: ToolMode) -> str:
    """Returns why the mask does not let a model write the answer of a case; empty if it does.

    It has to in a vocabulary that has the markers as tokens, or in one that has not: which it is no template says.
    """
    case = without_end(template, case)
    problems = [_mask_problem(template, case, mode, found) for found in (_PLAIN, _with_tokens(template.form))]
    return "" if not all(problems) else "; ".join(dict.fromkeys(problems))


def _mask_problem(template: ChatTemplate, case: Case, mode: ToolMode, grammars: Grammars) -> str:
    use = use_of(case)
    assert use is not None
    try:
        thoughts = prompt_of(template, case).thoughts
        constraint = tool_constraint(replace(use, mode=mode), template.form, grammars.terminal, grammars.arguments)
        whole = framed(constraint, template.form, thoughts, grammars.terminal)
        assert whole is not None
        mask = grammars.mask(whole)
        is_allowed = any(mask.matches(case.text + end) for end in ("", *_ends(template.form)))
        return "" if is_allowed else f"stops {_left(mask, grammars.tokens(case.text))} tokens before the end"
    except InvalidFieldError as error:
        return str(error)
    except Exception as error:
        return f"fails: {type(error).__name__}: {error}"[:300]


@cache
def _with_tokens(form: Form) -> Grammars:
    """Returns what compiles constraints for a vocabulary whose tokens are the form's markers of one word."""
    return bytes_and(sorted({token for marker in form.markers for token in _MARKER.findall(marker)}))


_MARKER = re.compile(r"<｜[^<>｜]+｜>|｜[^<>｜]+｜|<[^<>｜\s=\"]+>|\[/?[A-Z_]{3,}\]")


def _ends(form: Form) -> Iterator[str]:
    """Yields the tokens behind a call that end the turn in some families: cases are written without them."""
    for text in (form.calls.closing, form.calls.call[-1]):
        if isinstance(text, str) and (found := re.search(r"<[^<>]+>$", text)):
            yield found[0]


def _left(mask: TokenMask, tokens: Sequence[int]) -> int:
    """Returns how many tokens follow the part of a text that a mask allows."""
    for at, token in enumerate(tokens):
        if token not in mask.allowed():
            return len(tokens) - at
        mask.accept(token)
    return 0
