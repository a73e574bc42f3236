"""Renders chats with the model's Jinja template.

A template is code from the model file, so it runs in Jinja's sandbox, in a process with limits of time and
memory.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import NamedTuple

from llm_inference_api.errors import InvalidFieldError, ModelFailedError
from llm_inference_api.processes.limited_child import LimitedChild
from llm_inference_api.requests.chat import Ending, Message, ending
from llm_inference_api.requests.thinking import DEFAULT, Thinking
from llm_inference_api.requests.tools import NO_ARGUMENTS, Tool, ToolCall
from llm_inference_api.text.escaping import ControlTexts, Escaping
from llm_inference_api.text.families.form import GENERIC
from llm_inference_api.text.families.probing.probes import CostlyError, RefusedError
from llm_inference_api.text.families.probing.shown import ShownForm, form_of
from llm_inference_api.text.families.switching import BY_DEFAULT, variables_of
from llm_inference_api.text.families.thoughts import Thoughts, thoughts_at_start, thoughts_continued
from llm_inference_api.text.families.tool_definitions import simplified
from llm_inference_api.text.families.tool_messages import completed
from llm_inference_api.text.rewriting import Rewriting, rewritings
from llm_inference_api.text.skeleton import Skeleton
from llm_inference_api.text.template_input import ABSENT, Wants, template_input

TOOL_USE = "tool_use"
"""Name of a model's template for chats with tools, if it has one beside its default."""
_PROCESS = "llm_inference_api.text.template_process"
"""The module that compiles and renders a template. Only its process imports it: what a template needs is large."""
_MOST_REWRITINGS = 256
"""Number of skeletons whose rewriting is remembered."""
_PROBES = {
    "user": (Message("user", "x"),),
    "system": (Message("system", "x"), Message("user", "y")),
    "assistant": (Message("user", "y"), Message("assistant", "x"), Message("user", "y")),
    "tool": (Message("user", "y"), Message("assistant", "y"), Message("tool", "x", tool_call_id="1")),
}
"""Chats that show what a template wants for the content of a role."""
_UNDEFINED = ((), ABSENT, *((name,) for name in ABSENT))


class Prompt(NamedTuple):
    """A rendered chat."""

    parts: list[str]
    """The text, split inside each control token's text that a message contains. The parts are to be tokenized
    separately, with control tokens parsed; so the split texts stay plain text."""
    thoughts: Thoughts
    """Where the text ends among the thoughts of the answer."""
    continues: bool
    """Whether the text ends inside the assistant's last message."""


class _TemplateError(Exception):
    """The template refuses the messages or fails on them."""


class _TemplateLimitError(InvalidFieldError):
    """The template takes too long, too much memory, or writes too much."""


class ChatTemplate:
    """Chat template of one model."""

    def __init__(
        self,
        source: str | None,
        bos: str,
        eos: str,
        control_texts: Sequence[str],
        added_texts: Sequence[str] = (),
    ) -> None:
        """Compiles the template, and finds the form of answers that it shows.

        Args:
            source: Jinja source; None for a model without a template, whose chats become `role: content` lines.
            bos: Text of the BOS token, for the template.
            eos: Text of the EOS token, for the template.
            control_texts: Texts of the control tokens, which are escaped in messages.
            added_texts: Texts of other tokens that text is searched for before it is tokenized. Those that the template
                writes are escaped too.

        Raises:
            ModelFailedError: The source is not a valid template.
        """
        self.is_own = source is not None
        """Whether the model has a template of its own."""
        self.source = source or ""
        """Jinja source; empty where the model has none."""
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self.with_tools: ChatTemplate | None = None
        """The model's template for chats with tools, if that is another one."""
        self._rewritings: dict[Skeleton, Rewriting] = {}
        self._template = _compiled(source) if source is not None else None
        shown = form_of(self._probe, source) if source is not None else ShownForm(GENERIC, ())
        self.form = shown.form
        """How the model writes answers."""
        structural = [text for text in added_texts if text.strip() and any(text in part for part in shown.structure)]
        self._controls = ControlTexts([*control_texts, *structural])
        markers = [marker for block in self.form.thoughts for marker in (block.opening, block.closing)]
        said = [text for text in structural if not any(text in marker for marker in markers)]
        self._said_controls = ControlTexts([*control_texts, *said])

    def chosen(self, *, has_tools: bool) -> "ChatTemplate":
        """Returns the model's template for a chat."""
        return self.with_tools or self if has_tools else self

    @cached_property
    def opens_thoughts(self) -> bool:
        """Whether the generation prompt ends with `<think>`, so that answers start inside the thoughts."""
        try:
            return self.render([Message("user", "x")]).thoughts.are_open
        except InvalidFieldError:
            return False

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        end: Ending | None = None,
        thinking: Thinking = DEFAULT,
    ) -> Prompt:
        """Returns the rendered chat.

        Args:
            messages: The chat.
            tools: Its tools.
            end: How the prompt ends; None: as requests that say nothing of it. An assistant's message without words
                is not continued: the prompt is that of the chat without it.
            thinking: Whether and how much to think.

        Raises:
            InvalidFieldError: The template rejects the messages, fails on them, or leaves out the text of one; or it
                cannot be told what `thinking` says.
        """
        messages, end = _without_blank_end(messages, end or ending(messages, continues=None, begins=None))
        if end is Ending.CONTINUE and not messages[-1].content.strip():
            return self._thinking_on(messages, tools, thinking)
        given = completed(messages, tools, self.form)
        try:
            return self._rendered(given, tools if self.form.shows_tools else (), end, thinking)
        except _TemplateError as error:
            problem = InvalidFieldError("messages", f"the model's chat template {error}")
            if not tools or not self.form.shows_tools:
                raise problem from error
        # Some templates fail on what schemas may have, or leave out.
        in_words = completed(messages, tools, replace(self.form, shows_tools=False))
        try:
            return self._rendered(in_words, (), end, thinking)
        except _TemplateError:
            raise problem from None

    def _rendered(self, messages: Sequence[Message], tools: Sequence[Tool], end: Ending, thinking: Thinking) -> Prompt:
        begins, continues = end is Ending.ANSWER, end is Ending.CONTINUE
        rewriting = self._rewriting_of(Skeleton.of(messages, has_tools=bool(tools), begins=begins))
        messages = rewriting.of(messages, self.form.calls)
        escaping, mark = Escaping(self._controls, self._said_controls), _EndMark()
        safe = [escaping.message(message) for message in messages]
        if continues:
            safe[-1] = mark.set_in(safe[-1])
        variables = escaping.variables(variables_of(thinking, self.form.switch, self._reads))
        text = self._fill(safe, [escaping.tool(tool) for tool in tools], begins=begins, variables=variables)
        text = _without_surrogates(mark.cut(text) if continues else text)
        return Prompt(escaping.split(text), self._end_of(escaping.plain(text), messages[-1], end), continues)

    def _reads(self, variable: str) -> bool:
        """Returns whether the template has the name of a variable."""
        return re.search(rf"\b{re.escape(variable)}\b", self.source) is not None

    def _end_of(self, text: str, last: Message, end: Ending) -> Thoughts:
        """Returns where a prompt ends whose last message is given."""
        if end is not Ending.CONTINUE:
            return thoughts_at_start(text, last.content, self.form.thoughts if end is Ending.ANSWER else ())
        return thoughts_continued(text, last.content, self.form.thoughts)

    def _thinking_on(self, messages: Sequence[Message], tools: Sequence[Tool], thinking: Thinking) -> Prompt:
        """Returns the prompt that ends inside the thoughts of the last message, which templates do not write."""
        asked = self.render(messages[:-1] or [Message("user", "")], tools, Ending.ANSWER, thinking)
        opening = "" if asked.thoughts.are_open else self.form.thoughts[0].opening
        escaping = Escaping(self._controls)
        first, *rest = escaping.split(escaping.text(_without_surrogates(messages[-1].reasoning)))
        return Prompt([*asked.parts[:-1], asked.parts[-1] + opening + first, *rest], Thoughts.INSIDE, True)

    def _rewriting_of(self, skeleton: Skeleton) -> Rewriting:
        """Returns the first way to rewrite a chat in which the template keeps all texts.

        Text beside tool calls may get lost where none keeps it: the syntax of some models has no place for it. What
        is refused in every way is to be rendered as it is: the template may look at the texts, or has its own reason.

        Raises:
            _TemplateError: The template leaves out the text of a message, however it is rewritten.
        """
        found = self._rewritings.get(skeleton)
        if found is None:
            found = self._found_rewriting(skeleton)
            if len(self._rewritings) >= _MOST_REWRITINGS:
                self._rewritings.clear()
            self._rewritings[skeleton] = found
        return found

    def _found_rewriting(self, skeleton: Skeleton) -> Rewriting:
        messages, tools = skeleton.messages(), skeleton.tools()
        tried: set[tuple[Message, ...]] = set()
        lost = ""
        second_best: Rewriting | None = None
        for rewriting in rewritings():
            rewritten = rewriting.of(messages, self.form.calls)
            if tuple(rewritten) in tried:
                continue
            tried.add(tuple(rewritten))
            try:
                missing = skeleton.missing(self._fill(rewritten, tools, begins=skeleton.begins))
            except _TemplateError:
                continue
            if not missing:
                return rewriting
            lost = lost or missing[0].role
            if second_best is None and all(bone.calls for bone in missing):
                second_best = rewriting
        if second_best is None and lost:
            raise _TemplateError(f"leaves out the text of a message of the role {lost}")
        return second_best or Rewriting()

    @cached_property
    def _wants(self) -> Wants:
        """What the template wants, by the texts of short chats that it renders."""
        wants = Wants()
        for role, probe in _PROBES.items():
            undefined = _UNDEFINED if role == "user" else (wants.undefined,)
            parts = (wants.in_parts, wants.in_parts | {role})
            others = (Wants(*other) for other in product(parts, undefined))
            wants = next((other for other in others if self._shows(probe, other)), wants)
        ways = ((False, False), (True, False), (False, True), (True, True))
        others = (wants._replace(arguments_in_text=text, no_content_is_none=none) for text, none in ways)
        return next((other for other in others if self._shows_call(other)), wants)

    def _shows_call(self, wants: Wants) -> bool:
        """Returns whether the template writes the name and arguments of a call."""
        chat = [Message("user", "x"), Message("assistant", "", (ToolCall("zqid00001", "zqname", '{"zqkey": 1}'),))]
        try:
            text = self._fill(chat, [Tool("zqname", "It.", NO_ARGUMENTS)], begins=False, wants=wants)
        except _TemplateError:
            return False
        return "zqkey" in text and "zqname" in text.rpartition("zqkey")[0]

    def _shows(self, probe: Sequence[Message], wants: Wants) -> bool:
        skeleton = Skeleton.of(probe, has_tools=False, begins=True)
        try:
            text = self._fill(skeleton.messages(), (), begins=True, wants=wants)
        except _TemplateError:
            return False
        return not skeleton.missing(text)

    def _probe(
        self, messages: Sequence[Message], tools: Sequence[Tool], variables: Mapping[str, object], *, begins: bool
    ) -> str:
        try:
            return self._fill(messages, tools, begins=begins, variables=variables)
        except _TemplateError as error:
            raise RefusedError(str(error)) from error
        except _TemplateLimitError as error:
            raise CostlyError(error.problem) from error

    def _fill(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        begins: bool,
        wants: Wants | None = None,
        variables: Mapping[str, object] = BY_DEFAULT,
    ) -> str:
        if self._template is None:
            return _as_lines(messages, begins=begins)
        wants = wants or self._wants
        given = template_input(messages, tools, wants, {**variables, **self._tokens}, begins=begins)
        limit = "takes too long, or too much memory, to render them"
        text, problem, is_limit = self._template.ask(given) or ("", limit, True)
        if problem and (simpler := [simplified(tool) for tool in tools]) != [*tools]:
            return self._fill(messages, simpler, begins=begins, wants=wants, variables=variables)
        if is_limit:
            raise _TemplateLimitError("messages", f"the model's chat template {problem}")
        if problem:
            raise _TemplateError(problem)
        return str(text)


class _EndMark:
    """Marks the end of the content that is continued, to be found in the rendered text.

    It ends with a space, which a template that strips its messages drops. Then the space before it was meant to be
    dropped too (transformers: `continue_final_message`).
    """

    def __init__(self) -> None:
        self._mark = f"\ufdd1{secrets.token_hex(8)}\ufdd1 "

    def set_in(self, message: Message) -> Message:
        """Returns the message with the mark behind its content."""
        return replace(message, content=message.content + self._mark)

    def cut(self, text: str) -> str:
        """Returns the text before the mark. Raises InvalidFieldError if the template has not rendered it."""
        before, found, after = text.rpartition(self._mark.rstrip())
        if not found:
            problem = "the model's chat template leaves out the end of the last message, so it cannot be continued"
            raise InvalidFieldError("messages", problem)
        return before if after.startswith(" ") else before.rstrip()


def _without_blank_end(messages: Sequence[Message], end: Ending) -> tuple[Sequence[Message], Ending]:
    """Returns the chat without the message that is to be continued, if that has no words, and how its prompt ends."""
    while end is Ending.CONTINUE and not f"{messages[-1].content}{messages[-1].reasoning}".strip():
        messages = messages[:-1] or [Message("user", "")]
        end = Ending.CONTINUE if messages[-1].role == "assistant" else Ending.ANSWER
    return messages, end


def _compiled(source: str) -> LimitedChild:
    """Returns the process that renders a template. Raises ModelFailedError if the source is not a valid template."""
    child = LimitedChild(_PROCESS, source)
    problem = child.started()
    if problem is None:
        raise ModelFailedError("the model's chat template takes too long, or too much memory, to compile")
    if problem:
        raise ModelFailedError(f"the model's chat template is not valid: {problem}")
    return child


def _without_surrogates(text: str) -> str:
    """Returns the text. Raises InvalidFieldError if it has lone surrogates, which JSON can escape, but no text has."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFieldError("messages", f"they have a lone surrogate ({error})") from error
    return text


def _as_lines(messages: Sequence[Message], *, begins: bool) -> str:
    text = "\n".join(f"{message.role}: {message.content}" for message in messages)
    return text + "\nassistant: " if begins else text
