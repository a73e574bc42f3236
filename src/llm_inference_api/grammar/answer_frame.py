"""What stands around a constrained answer: thoughts before it, markers of content, and what is between the two."""

from llm_inference_api.grammar.lark import Lark, Terminal, choice, row
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.text.families.form import Form, MarkedBlock
from llm_inference_api.text.families.thoughts import Thoughts


def frame(constraint: Constraint, form: Form, thoughts: Thoughts, terminal: Terminal) -> str:
    """Returns the Lark grammar around `@answer`; empty if nothing stands there.

    Args:
        constraint: The constraint of the answer.
        form: How the model writes its answers.
        thoughts: Where the prompt ends.
        terminal: Returns a literal text as Lark.
    """
    found = _AnswerFrame(Lark(terminal), constraint, form)
    start = found.after_text() if thoughts is Thoughts.AFTER else found.after_thoughts(thoughts)
    return "" if start == "@answer" else found.source(start)


class _AnswerFrame:
    def __init__(self, lark: Lark, constraint: Constraint, form: Form) -> None:
        self._lark = lark
        self._form = form
        self._has_calls = constraint.has_calls
        self._has_words = constraint.words is not None
        self._is_required = constraint.closing is not None
        self._space = f"{lark.space}?"
        self._behind_text = "@behind" if constraint.behind else row(lark.text, "@answer")
        """An answer of calls alone behind any text."""
        self._lines = f"{lark.lines}?"
        """What stands behind thoughts and is no content: other white space would be a part of it."""

    def source(self, start: str) -> str:
        """Returns the grammar with its start."""
        return self._lark.source(start)

    def after_text(self) -> str:
        """Returns what follows a prompt that ends in the content."""
        if not self._form.contents:
            return "@answer"
        block = self._form.contents[0]
        closing = self._lark.literal(block.closing)
        if not self._has_calls:
            return row("@answer", closing and f"({closing})?")
        text, between = self._lark.text, self._lark.literal(self._form.between)
        closed = self._lark.up_to(text, block.closing or self._form.between)
        if self._lark.ends(block.closing):
            return text
        more = row(closed, between if block.closing else "", "@answer")
        return more if self._is_required else f"{text} | {closed} | {more}"

    def after_thoughts(self, thoughts: Thoughts) -> str:
        """Returns what follows a prompt that ends before or inside the thoughts, or with their end."""
        answer = self._answer()
        if thoughts is Thoughts.CLOSED:
            return row(self._lines, answer)
        if thoughts.are_open:
            return self._inside(answer, may_open=thoughts is Thoughts.OPENED)
        blocks = [block for block in self._form.thoughts if self._may_begin(block)]
        if not blocks:
            return answer
        before = choice([row(self._opening(block), self._closed(block)) for block in blocks])
        found = row(f"({before})*" if self._form.between else f"({before})?", answer)
        unclosed = [row(self._opening(block), self._unclosed()) for block in blocks]
        return " | ".join([found, *(unclosed if self._unclosed() else ())])

    def _answer(self) -> str:
        if self._has_calls or not self._form.contents:
            return "@answer"
        block = self._form.contents[0]
        closing = self._lark.literal(block.closing)
        return row(self._opening(block), "@answer", closing and f"({closing})?")

    def _opening(self, block: MarkedBlock) -> str:
        return self._lark.literal(block.opening, is_spaced=True)

    def _may_begin(self, block: MarkedBlock) -> bool:
        """Returns whether the model may begin with such thoughts. Text that no template shows begins none."""
        return self._form.shows_thoughts or self._lark.begins_with_token(block.opening)

    def _closed(self, block: MarkedBlock) -> str:
        """Returns thoughts that have begun, and what stands between them and the answer."""
        text, end = self._lark.text, self._lark.split(block.closing).parts
        if self._has_calls and not self._has_words and self._calls_in_thoughts() and end and end[0].token:
            # The lexer takes any text for longer than what a call must be: a call in thoughts is one that is allowed.
            text = f"({self._behind_text})? {text}" if self._is_required else "@answer"
            closed = row(text, self._lark.literal(block.closing))
        else:
            closed = self._lark.up_to(text, block.closing)
        return row(closed, self._lark.literal(self._form.between), self._lines)

    def _inside(self, answer: str, *, may_open: bool) -> str:
        """Returns thoughts that have begun in the prompt, and the answer.

        Args:
            answer: The answer.
            may_open: Whether the model may open them again.
        """
        found = []
        for block in self._form.thoughts or (MarkedBlock("", ""),):
            opening = self._opening(block)
            again = f"({opening})?" if may_open and opening else ""
            found.append(row(again, self._closed(block), answer))
        unclosed = self._unclosed()
        return " | ".join([*dict.fromkeys(found), *([unclosed] if unclosed else [])])

    def _unclosed(self) -> str:
        """Returns thoughts that end with an answer instead of their marker, which some models write; empty for none.

        A marker in plain text may be a thought about a call, so that what follows is free then.
        """
        if not self._has_calls or self._has_words:
            return ""
        tokens = [*map(self._lark.is_found_by_token, self._call_leads())]
        if self._form.contents:
            blocks = [self._lark.begins_with_token(block.opening) for block in self._form.contents]
            return row(self._lark.text, "@answer") if all([*tokens, *blocks]) else ""
        if self._is_required:
            # The lexer takes a marker in plain text for a part of the thought.
            return self._behind_text if any(tokens) else ""
        return "@answer" if all(tokens) else self._lark.text

    def _calls_in_thoughts(self) -> bool:
        """Returns whether calls are told from thoughts: they begin with tokens, and all that is no call is text."""
        return not self._form.contents and all(map(self._lark.is_found_by_token, self._call_leads()))

    def _call_leads(self) -> list[str]:
        """Returns the texts that a call may begin with."""
        calls = self._form.calls
        if calls.opening.strip() and not calls.may_omit_opening:
            return [calls.opening]
        patterns = (calls.call, *calls.others)
        return [part for pattern in patterns if isinstance(part := pattern[0], str)]
