"""Writes grammars in llguidance's dialect of Lark.

See https://github.com/guidance-ai/llguidance, docs/syntax.md and docs/parametric.md. Its lexer takes the longest match
of all terminals that may come next, and never returns to a shorter one: where a terminal could be the beginning of
another one, both must be written to their ends.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

Terminal = Callable[[str], str]
"""Returns a literal text as Lark: quoted strings and tokens `<[id]>`, in order, with blanks between.

A token that ends the answer is no text: it is `""`, and what would follow it is left out.
"""

ANY = "/(?s:.*)/"
"""Any text, perhaps none. No special token is a part of it."""
KEY = "\ue000"
"""Stands in a literal for a name that only a regular expression knows. A private-use character: no template has it."""
_SPACES, _STAND_INS = " \t\n\r", "\ue001\ue002\ue003\ue004"
"""White space, and what stands in a literal for that which must be written as it is."""
_HARD = str.maketrans(_SPACES, _STAND_INS)
_SOFT = str.maketrans(_STAND_INS, _SPACES)
_PART = re.compile(r'<\[\d+\]>|"(?:\\.|[^"\\])*"')
_BLANK = re.compile(r"\s+")
_SPECIAL = frozenset("\\.+*?()|[]{}^$/&~#-")
_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_MOST_SPACE = 8
"""Characters of white space where a literal has a line break. A limit, since small models write it without end."""
_SPACE = "[ \\t\\r\\n]"
_MOST_CHARACTERS = 4_000_000
"""Size of a grammar; one of 128 functions with 20 parameters each has a tenth of it."""
_MOST_SPACES = f"{_SPACE}{{0,{_MOST_SPACE}}}"
_SHORTEST_MARKER = 4
"""Characters of a text that is not written by accident."""


class TooLargeError(Exception):
    """A grammar would become too large."""


class LarkPart(NamedTuple):
    """A part of a literal text: a token or a string."""

    token: str
    """The token as Lark; empty for a string."""
    text: str
    """The string; empty for a token."""

    @property
    def lark(self) -> str:
        """The part as a Lark terminal; white space is optional in it."""
        return self.token or loose(self.text)


class LarkLiteral(NamedTuple):
    """A literal text in parts."""

    parts: tuple[LarkPart, ...]
    ends: bool
    """Whether a token that ends the answer follows."""


class Lark:
    """A grammar that is being written. Equal rules are written once."""

    def __init__(self, terminal: Terminal) -> None:
        """Begins without rules."""
        self._terminal = terminal
        self._names: dict[str, str] = {}
        """Names of rules and terminals by their definitions."""
        self._lines: list[str] = []

    def source(self, start: str) -> str:
        """Returns the grammar with its start. Raises TooLargeError."""
        found = "\n".join([f"start: {start}", *filter(None, self._lines)])
        if len(found) > _MOST_CHARACTERS:
            raise TooLargeError
        return found

    def rule(self, body: str, options: str = "") -> str:
        """Returns the name of a rule."""
        key = f"{options}:{body}"
        if key not in self._names:
            self._names[key] = self.new_name()
            self._lines.append(f"{self._names[key]}{options}: {body}")
        return self._names[key]

    def new_name(self) -> str:
        """Returns a name for a rule that is defined later, by `define`: one that refers to itself."""
        self._lines.append("")
        return f"r{len(self._lines)}"

    def define(self, name: str, body: str) -> None:
        """Defines a rule. A name that ends with `::_` has a parameter."""
        self._lines.append(f"{name}: {body}")

    def terminal(self, body: str) -> str:
        """Returns the name of a terminal."""
        key = f"terminal:{body}"
        if key not in self._names:
            self._names[key] = f"T{len(self._names)}"
            self._lines.append(f"{self._names[key]}: {body}")
        return self._names[key]

    @property
    def text(self) -> str:
        """A terminal for any text."""
        return self.terminal(ANY)

    @property
    def space(self) -> str:
        """A terminal for some white space."""
        return self.terminal(f"/{_SPACE}{{1,{_MOST_SPACE}}}/")

    @property
    def lines(self) -> str:
        """A terminal for some line breaks."""
        return self.terminal(f"/\\n{{1,{_MOST_SPACE}}}/")

    def split(self, text: str) -> LarkLiteral:
        """Returns a literal text in parts."""
        if not text:
            return LarkLiteral((), ends=False)
        found = [part[0] for part in _PART.finditer(self._terminal(text))]
        ends = bool(found) and found[-1] == '""'
        parts = [
            LarkPart(part, "") if part.startswith("<") else LarkPart("", json.loads(part))
            for part in found
            if part != '""'
        ]
        return LarkLiteral(tuple(parts), ends)

    def literal(self, text: str, name: str = "", known: Sequence[str] = (), *, is_spaced: bool = False) -> str:
        """Returns a literal text as a part of a rule; empty for no text.

        Args:
            text: The literal. `KEY` in it stands for a name.
            name: Regular expression of the name.
            known: Other names, which it must not be.
            is_spaced: Whether white space may stand before it.
        """
        parts = self.split(text.lstrip() if is_spaced else text).parts
        found = []
        for at, part in enumerate(parts):
            space = _MOST_SPACES if is_spaced and not at else ""
            if KEY in part.text:
                found.append(self._named(part, name, known, space))
            elif part.token or not space:
                found.append(row(f"{self.space}?" if space else "", self._lark(part)))
            else:
                found.append(f"/{space}{loose_pattern(part.text)}/")
        return " ".join(found)

    def _named(self, part: LarkPart, name: str, known: Sequence[str], space: str) -> str:
        """Returns a terminal with a name. It is one, since no shorter one may be the beginning of it."""
        before, after = (loose_pattern(text) for text in part.text.split(KEY))
        others = "|".join(map(escaped, known))
        excluded = f" & ~/{space}{before}({others}){after}/" if others else ""
        return self.terminal(f"/{space}{before}({name}){after}/{excluded}")

    def strings(self, text: str) -> str:
        """Returns a literal text as terminals, with its white space."""
        return " ".join(part.token or quoted(part.text) for part in self.split(text).parts)

    def ends(self, text: str) -> bool:
        """Returns whether a literal text has a token that ends the answer."""
        return self.split(text).ends

    def _lark(self, part: LarkPart) -> str:
        return part.lark if part.token or part.text.strip() else f"{self.space}?"

    def lead(self, text: str, body: str = "") -> tuple[str, str]:
        """Returns what begins a literal so that it cannot be other text, after any text, and what is left of it.

        A marker is a token, or a word between signs such as `<tool_call>`. A text without a marker at its start begins
        when it is complete.

        Args:
            text: The literal.
            body: The terminal of the text before it; empty: any.
        """
        first, *rest = parts = self.split(text.lstrip()).parts
        if _has_token_behind(parts):
            token, *others = rest
            return f"{self._with(body or self.text, loose(first.text))} {token.token}", " ".join(
                map(self._lark, others)
            )
        word, left = (first.text, "") if first.token else _marker(first.text)
        if not left and word != word.rstrip():
            word, left = word.rstrip(), " "
        others = ([LarkPart("", left)] if left else []) + rest
        head = first.token or loose(word)
        return self._until(body or self.text, head), " ".join(self._lark(part) for part in others)

    def marker(self, text: str) -> str:
        """Returns the regular expression of what `lead` finds a literal by; empty if that is a token."""
        parts = self.split(text.lstrip()).parts
        first = parts[0]
        return loose_pattern(_marker(first.text)[0].rstrip()) if first.text and not _has_token_behind(parts) else ""

    def begins_with_token(self, text: str) -> bool:
        """Returns whether a literal begins with a token, but for white space."""
        parts = self.split(text.lstrip()).parts
        return bool(parts) and bool(parts[0].token)

    def is_found_by_token(self, text: str) -> bool:
        """Returns whether `lead` finds a literal by a token: the first of it, or one behind what is no marker."""
        return self.begins_with_token(text) or self.is_found_behind(text)

    def is_found_behind(self, text: str) -> bool:
        """Returns whether `lead` finds a literal by a token that stands behind other characters."""
        return _has_token_behind(self.split(text.lstrip()).parts)

    def up_to(self, body: str, closing: str) -> str:
        """Returns a text up to and including a literal: its first match, where that is no token.

        Args:
            body: The terminal of the text. Where that may be any, white space before the literal belongs to either.
            closing: The literal.
        """
        is_any = body == self.text
        parts = self.split(closing.lstrip() if is_any else closing).parts
        if not parts:
            return body
        first, *rest = parts
        core = LarkPart(first.token, first.text.rstrip())
        if not core.token and not core.text:
            return " ".join([body, self.tight(closing)])
        end = core.lark if is_any or core.token else self.tight(core.text)
        if core.text and core.text == first.text and rest:
            return row(self._with(body, end), *map(self._lark, rest))
        after = [f"{self.space}?"] if first.text != core.text else []
        return " ".join([self._until(body, end), *after, *(self._lark(part) for part in rest)])

    def tight(self, text: str) -> str:
        """Returns a literal whose white space at its start is written as it is, or left out.

        More of it would belong to the text before, which may not have it.
        """
        core = text.lstrip()
        space = text[: len(text) - len(core)]
        first, *rest = self.split(core).parts or (LarkPart("", ""),)
        if not space:
            head = first.lark
        elif first.token or not core:
            head = row(f"{quoted(space)}?", first.token)
        else:
            head = f"/({escaped(space)})?{loose_pattern(first.text)}/"
        return " ".join([head, *(self._lark(part) for part in rest)])

    def _with(self, body: str, end: str) -> str:
        """Returns a text with an end that a token follows: one terminal, since the lexer takes the end for text."""
        return self.terminal(f"{body} {end}")

    def _until(self, body: str, end: str) -> str:
        return f"{body} {end}" if end.startswith("<[") else self.rule(f"{body} {end}", "[lazy]")


def _has_token_behind(parts: Sequence[LarkPart]) -> bool:
    """Returns whether a literal is known by a token behind its first characters, such as DeepSeek's behind `<`."""
    return len(parts) > 1 and not parts[0].token and not _is_marker(parts[0].text)


def row(*parts: str) -> str:
    """Returns a sequence of parts of a rule, some of which may be empty."""
    return " ".join(part for part in parts if part)


def choice(parts: Sequence[str]) -> str:
    """Returns a choice of parts of a rule; if one is empty, it may be nothing."""
    found = list(dict.fromkeys(parts))
    some = [part for part in found if part]
    if not some:
        return ""
    whole = some[0] if len(some) == 1 else f"({' | '.join(some)})"
    return whole if len(some) == len(found) else f"({whole})?"


def hard(text: str) -> str:
    """Returns a text for a literal in which its white space must be written as it is."""
    return text.translate(_HARD)


def quoted(text: str) -> str:
    """Returns a text as a Lark string."""
    return json.dumps(text.translate(_SOFT), ensure_ascii=False).replace("\x7f", "\\u007f")


def loose(text: str) -> str:
    """Returns a text as a Lark terminal in which its white space may be left out, and line breaks may be others."""
    if not _BLANK.search(text):
        return quoted(text)
    return f"/{loose_pattern(text)}/"


def loose_pattern(text: str) -> str:
    """Returns the regular expression of a text in which white space may be left out; see `loose`."""
    found, at = "", 0
    for blank in _BLANK.finditer(text):
        space = _MOST_SPACES if "\n" in blank[0] else f"[ \\t]{{0,{len(blank[0])}}}"
        found, at = found + escaped(text[at : blank.start()]) + space, blank.end()
    return found + escaped(text[at:])


def escaped(text: str) -> str:
    """Returns a text as a regular expression."""
    soft = text.translate(_SOFT)
    return "".join(_CONTROL.get(char) or (f"\\{char}" if char in _SPECIAL else _hex(char)) for char in soft)


def _hex(char: str) -> str:
    return char if char.isprintable() else f"\\x{{{ord(char):x}}}"


def _marker(text: str) -> tuple[str, str]:
    """Returns the word that a text begins with, and the rest, if it is a marker; else the whole text and no rest."""
    word = _BLANK.split(text, maxsplit=1)[0]
    return (word, text[len(word) :]) if _is_marker(word) else (text, "")


def _is_marker(text: str) -> bool:
    """Returns whether the first word of a text is nothing that is written by accident."""
    word = _BLANK.split(text, maxsplit=1)[0]
    return len(word) >= _SHORTEST_MARKER and not word[0].isalnum() and not word[-1].isalnum()
