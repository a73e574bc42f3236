"""Grammar of calls, by a form's patterns."""

import re
from collections.abc import Sequence

from llm_inference_api.grammar.argument_rules import are_lines
from llm_inference_api.grammar.lark import ANY, Lark, choice, escaped, loose_pattern, row
from llm_inference_api.text.families.form import CallForm, Pattern, Slot

_SCAFFOLD = re.compile(r'"[^"]*"|["\s{}\[\](),:=]')
"""What data is written with: quoted keys, brackets, separators. A text of these alone is no marker."""
_BESIDE = 16
"""Characters of the texts around an id by which it is found."""
_INDEX, _ID = "[0-9]{1,4}", "[A-Za-z0-9_.:-]{1,64}"


class CallRules:
    """Writes the calls of one answer."""

    def __init__(
        self, lark: Lark, calls: CallForm, names: Sequence[str], arguments: Sequence[str], *, is_parallel: bool
    ) -> None:
        """Takes the grammar to write to.

        Args:
            lark: The grammar.
            calls: How calls are written.
            names: Names of the functions.
            arguments: Arguments of each function, as parts of a rule.
            is_parallel: Whether there may be several calls.
        """
        self._lark = lark
        self._calls = calls
        self._functions = list(zip(names, arguments, strict=True))
        self._patterns = [calls.call, *calls.others]
        self.are_parallel = is_parallel and calls.are_parallel

    @property
    def ends(self) -> bool:
        """Whether the answer ends with a call, since a token that ends it belongs to the call."""
        texts = [self._calls.closing, *(part for pattern in self._patterns for part in pattern[1:])]
        return any(self._lark.ends(text) for text in texts if isinstance(text, str))

    @property
    def follow_each_other(self) -> bool:
        """Whether another block may follow a call."""
        return self.are_parallel and not self.ends

    @property
    def varying(self) -> tuple[str, ...]:
        """Regular expressions of ids and numbers of calls, by which equal calls differ, where they stand."""
        found = []
        for pattern in self._patterns:
            for at, part in enumerate(pattern):
                if part in (Slot.ID, Slot.INDEX):
                    before, after = _beside(pattern, at - 1)[-_BESIDE:], _beside(pattern, at + 1)[:_BESIDE]
                    found.append(f"(?<={re.escape(before)}){self._slot(part)}(?={re.escape(after)})")
        return tuple(dict.fromkeys(found))

    @property
    def closing(self) -> str:
        """What stands behind the last call, as Lark terminals; empty if nothing does."""
        closing, last = self._calls.closing, self._calls.call[-1]
        space = last[len(last.rstrip()) :] if isinstance(last, str) else ""
        return self._lark.strings(space + closing) if closing else ""

    def whole(self) -> str:
        """Returns one call, or several, with all that stands around them, and perhaps white space before."""
        calls, lark = self._calls, self._lark
        opening, closing = lark.literal(calls.opening, is_spaced=True), lark.literal(calls.closing)
        found = row(opening, self._several(self._any(is_spaced=not opening)), closing)
        if not calls.may_omit_opening or not opening:
            return lark.rule(found)
        bare = self._several(self._any(is_spaced=True, may_be_open=True), may_be_open=True)
        return lark.rule(choice([found, row(bare, closing and f"({closing})?")]))

    def behind_text(self) -> str:
        """Returns any text with calls behind it; empty where `whole` may follow text as it is."""
        calls = self._calls
        heads = [calls.opening, *(part for pattern in self._patterns if isinstance(part := pattern[0], str))]
        if not any(self._lark.is_found_behind(head) for head in heads if head.strip()):
            return ""
        return choice([row(*found) for found in self._leads("")])

    def in_text(self, others: Sequence[str] = ()) -> str:
        """Returns any text with calls in it.

        Args:
            others: Markers that the text does not begin with.
        """
        lark, bare = self._lark, self._heads()
        space = f"{lark.space}?"
        several = self.follow_each_other
        more = choice([row(*found) for found in self._leads("")])
        rest = f"({more})* {lark.text}" if several else self._after_last()
        excluded = [*(head for head, _ in bare), *(marker for text in others if (marker := lark.marker(text)))]
        if not excluded:
            return rest if several else f"{lark.text} | {row(more, rest)}"
        heads = "|".join(f"({head})" for head in excluded)
        words = lark.terminal(f"{ANY} & ~/[ \\t\\r\\n]*({heads})(?s:.*)/")
        first = choice([row(*found) for found in self._leads(words)])
        found = [words, row(space, self._bare(bare), space) if bare else "", row(first, rest) if first else ""]
        return " | ".join(part for part in found if part)

    def _after_last(self) -> str:
        """Returns text in which no other call begins."""
        if self.ends or not self._leads(""):
            return ""
        found = [self._calls.opening] if not self._is_bare(self._calls.opening) else []
        if not found or self._calls.may_omit_opening:
            found += [first for pattern in self._patterns if isinstance(first := pattern[0], str)]
        markers = "|".join(dict.fromkeys(marker for text in found if (marker := self._lark.marker(text))))
        return self._lark.terminal(f"{ANY} & ~/(?s:.*)({markers})(?s:.*)/") if markers else self._lark.text

    def _several(self, first: str, *, may_be_open: bool = False) -> str:
        """Returns a call and, where there may be several in a section, others; see `_any`."""
        if not self.are_parallel:
            return first
        separator = self._calls.separator
        call = self._any(is_spaced=not separator.strip(), may_be_open=may_be_open)
        return row(first, f"({row(self._lark.literal(separator) if separator.strip() else '', call)})*")

    def _any(self, *, is_spaced: bool = False, may_be_open: bool = False) -> str:
        """Returns a call in any of the patterns.

        Args:
            is_spaced: Whether white space may stand before it.
            may_be_open: Whether a token that ends it may be missing: models without the opening leave it out too.
        """
        patterns = list(self._patterns)
        if may_be_open:
            ended = ((pattern, pattern[-1]) for pattern in self._patterns)
            patterns += [one[:-1] for one, end in ended if isinstance(end, str) and self._lark.begins_with_token(end)]
        return self._lark.rule(choice([self._call(pattern, is_spaced=is_spaced) for pattern in patterns]))

    def _leads(self, text: str) -> list[tuple[str, str]]:
        """Returns the ways to begin calls behind a text: its end with the first marker, and the calls behind that.

        Args:
            text: The terminal of the text; empty: any.
        """
        calls, lark = self._calls, self._lark
        closing = lark.literal(calls.closing)
        optional = closing and f"({closing})?"
        found = []
        if not self._is_bare(calls.opening):
            head, left = lark.lead(calls.opening, text)
            found.append((head, row(left, self._several(self._any()), closing)))
        for pattern in self._patterns:
            first = pattern[0]
            if not isinstance(first, str) or self._is_bare(first):
                continue
            if self._is_bare(calls.opening) and calls.opening.strip():
                continue
            if not self._is_bare(calls.opening) and not calls.may_omit_opening:
                continue
            head, left = lark.lead(first, text)
            one = self._several(row(left, self._call(pattern, begun=True)))
            found.append((head, row(one, optional if calls.opening.strip() else closing)))
        return found

    def _is_bare(self, text: str) -> bool:
        """Returns whether a text is no marker: data that is no call may begin with it."""
        return not self._lark.begins_with_token(text) and not _SCAFFOLD.sub("", text)

    def _heads(self) -> list[tuple[str, str]]:
        """Returns the beginnings of calls without a marker, up to the name's end, and the rest of each call."""
        found: list[tuple[str, str]] = []
        opening = self._calls.opening
        if not self._is_bare(opening):
            return found
        for pattern in self._patterns:
            if isinstance(pattern[0], str) and not self._is_bare(pattern[0]):
                continue
            at = pattern.index(Slot.NAME)
            before = "".join(
                loose_pattern(part) if isinstance(part, str) else self._slot(part) for part in (opening, *pattern[:at])
            )
            after = pattern[at + 1]
            last, left = (
                (after[0], (after[1:], *pattern[at + 2 :])) if isinstance(after, str) else ("", pattern[at + 1 :])
            )
            found += [
                (before + escaped(name) + escaped(last), self._rest(left, name, arguments))
                for name, arguments in self._functions
            ]
        return found

    def _bare(self, heads: list[tuple[str, str]]) -> str:
        calls, lark = self._calls, self._lark
        first = lark.rule(choice([row(lark.terminal(f"/{head}/"), rest) for head, rest in heads]))
        return lark.rule(row(self._several(first), lark.literal(calls.closing)))

    def _call(self, pattern: Pattern, *, begun: bool = False, is_spaced: bool = False) -> str:
        """Returns one call; one that has begun is without the pattern's first literal."""
        # The literal before the name belongs to one terminal with it, where no token is between: the lexer takes no
        # beginning of a terminal, such as that of the content's marker, for a shorter one.
        rest = pattern[1:] if begun else pattern
        calls = [self._rest(rest, *function, is_spaced=is_spaced) for function in self._functions]
        return self._lark.rule(choice(calls))

    def _rest(self, pattern: Pattern, name: str, arguments: str, *, is_spaced: bool = False) -> str:
        """Returns a part of a call of one function, perhaps with white space before."""
        found: list[str] = []
        literal, is_after = "", False
        for part in pattern:
            if isinstance(part, str):
                literal += part
            elif part is Slot.NAME:
                literal += name
            else:
                written = self._lark.literal(literal, is_spaced=is_spaced and not found)
                found += [written, arguments if part is Slot.ARGUMENTS else self._term(part)]
                literal = ""
                is_after = part is Slot.ARGUMENTS
        pairs = self._calls.arguments
        is_spaced_end = is_after and pairs is not None and not pairs.closing and are_lines(pairs)
        return row(*found, self._lark.literal(literal, is_spaced=is_spaced_end))

    def _term(self, slot: Slot) -> str:
        return self._lark.terminal(f"/{self._slot(slot)}/")

    def _slot(self, slot: Slot) -> str:
        return _ID if slot is Slot.ID else _INDEX


def _beside(pattern: Pattern, at: int) -> str:
    part = pattern[at] if 0 <= at < len(pattern) else ""
    return part.strip() if isinstance(part, str) else ""
