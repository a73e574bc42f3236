r"""`Form`: how a model family writes an answer, as data.

A form is found by rendering the model's chat template with probes (`probing`), or stands in `known` where it cannot be
found that way. It serves the rendering of prompts, the grammar of constrained answers, the reader of answers, and what
is told of a model.

An answer is a row of blocks: thoughts, content, calls. In most forms content has no markers: it is what stands outside
of the other blocks. Where `contents` are given, content has markers too, and `between` stands between two blocks.

| answer | call |
|---|---|
| `<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>` | `'<tool_call>\n{"name": "', NAME, '", "arguments": ', ARGUMENTS, '}\n</tool_call>'` |
| `[TOOL_CALLS]f[ARGS]{"a": 1}` | `'[TOOL_CALLS]', NAME, '[ARGS]', ARGUMENTS` |
| `<function=f>\n<parameter=a>\n1\n</parameter>\n</function>` | `'<function=', NAME, '>\n', ARGUMENTS, '</function>'`, with pairs `'<parameter=', KEY, '>\n', VALUE, '\n</parameter>\n'` |
| `[f(a=1)]` | `NAME, '(', ARGUMENTS, ')'` between `'['` and `']'`, with pairs `KEY, '=', VALUE` |
"""  # noqa: E501 - a table

from dataclasses import dataclass
from enum import Enum


class Slot(Enum):
    """A place in a pattern."""

    NAME = "name"
    """The function's name."""
    ID = "id"
    """The call's id."""
    INDEX = "index"
    """The call's number among those of one answer."""
    ARGUMENTS = "arguments"
    KEY = "key"
    """An argument's name."""
    VALUE = "value"
    """An argument's value."""
    KIND = "kind"
    """A word for the type of an argument's value."""


Pattern = tuple[str | Slot, ...]
"""Literal texts and places, in order. White space in a literal is written as given, and read leniently."""


class Values(Enum):
    """How the values of arguments are written that do not stand in a JSON object."""

    JSON = "json"
    """As JSON."""
    TEXT = "text"
    """Strings as they are, without quotes or escapes; others as JSON."""
    PYTHON = "python"
    """As Python literals; those of JSON are read too."""
    BARE = "bare"
    """As JSON with keys without quotes, and strings between `Pairs.quote` without escapes."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Arguments written as pairs of a key and a value."""

    pair: Pattern
    """Has KEY, perhaps twice, VALUE, and perhaps KIND."""
    separator: str = ""
    """Text between two pairs."""
    values: Values = Values.TEXT
    quote: str = '"'
    """Text before and after a string in `Values.BARE`, and in `Values.PYTHON`."""
    kinds: tuple[tuple[str, str], ...] = ()
    """Words for KIND by JSON type: string, number, integer, boolean, array, object, null."""
    opening: str = ""
    """Text before the first pair, also where there is none."""
    closing: str = ""
    """Text after the last pair, also where there is none."""
    item: str = ""
    """KEY of an array's items where values are written as pairs within pairs; empty: nested values are JSON."""
    verbatim: tuple[str, str] = ("", "")
    """Texts around a value in `Values.TEXT` that may hold the pair's own markers; empty if the form has none."""


@dataclass(frozen=True, slots=True)
class CallForm:
    """How calls of tools are written."""

    call: Pattern
    """One call. Has NAME and ARGUMENTS, in this order; perhaps ID and INDEX."""
    opening: str = ""
    """Text before the first call of a section."""
    separator: str = ""
    """Text between two calls of a section."""
    closing: str = ""
    """Text after the last call of a section."""
    arguments: Pairs | None = None
    """None: a JSON object."""
    others: tuple[Pattern, ...] = ()
    """Other patterns of a call that the model may write."""
    id_of: Pattern = ()
    """The id, where it is made of NAME and INDEX; empty: what stands at ID, or else one that the model does not see."""
    first_index: int = 0
    are_parallel: bool = True
    """Whether one answer may have several calls."""
    may_omit_opening: bool = False
    """Whether a call begins with a marker of its own, so that models may leave out the opening."""


@dataclass(frozen=True, slots=True)
class MarkedBlock:
    """Thoughts or content between markers."""

    opening: str
    closing: str
    """Empty: up to the next block or the answer's end."""


@dataclass(frozen=True, slots=True)
class Asides:
    """Messages to somebody who is neither the user nor a tool of the request: what they say is read as thoughts.

    Each has a head, which names the recipient, and a text.
    """

    openings: tuple[str, ...]
    """Texts before the recipient, one of which begins the head."""
    text: str
    """Text between the head and the message's text."""
    channel: str
    """Text before the channel. Behind a recipient whose channel is known it begins another head instead, so that the
    message has no text."""
    closings: tuple[str, ...]
    """Texts one of which ends the message."""


@dataclass(frozen=True, slots=True)
class Switch:
    """How a template is told whether, and how much, to think."""

    variable: str
    """The variable that turns thoughts on and off; empty if none does."""
    on: object = True
    off: object = False
    effort_variable: str = ""
    """The variable that takes an effort; empty if none does."""
    efforts: tuple[str, ...] = ()
    """Words that the effort's variable knows, from the least to the most."""
    default: bool = True
    """Whether the model thinks where nothing is said."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a model writes its answers."""

    name: str
    """Name of the kind of call, for people: json, tags, python, harmony and others; generic where there is none."""
    calls: CallForm
    thoughts: tuple[MarkedBlock, ...] = ()
    """Thoughts: the first is what is expected, others are read too. Empty: the model has none."""
    contents: tuple[MarkedBlock, ...] = ()
    """Content with markers; empty: content has none."""
    asides: Asides | None = None
    """Messages to others; None: the model writes none."""
    between: str = ""
    """Text between two blocks."""
    ending: str = ""
    """Text after the last block, where that is more than a token that ends the answer."""
    switch: Switch | None = None
    """None: thoughts cannot be switched."""
    is_generic: bool = False
    """Whether the form is the service's own, taught in words, because the template has none."""
    shows_tools: bool = True
    """Whether the template describes the tools; else the service does."""
    shows_thoughts: bool = True
    """Whether the template has thoughts; else a constraint allows them only where their marker is a token."""
    shows_calls: bool = True
    """Whether the template writes the calls of earlier answers; else the service writes them as text."""
    problem: str = ""
    """Why the form could not be found, for the log; empty if it was, or there is nothing to find."""

    @property
    def markers(self) -> frozenset[str]:
        """All literal texts of the form. Control tokens among their parts are kept in an answer's text."""
        calls, pairs = self.calls, self.calls.arguments
        patterns = [calls.call, *calls.others, *((pairs.pair,) if pairs else ())]
        texts = [part for pattern in patterns for part in pattern if isinstance(part, str)]
        texts += [calls.opening, calls.separator, calls.closing, self.between, self.ending]
        texts += [pairs.separator, pairs.opening, pairs.closing, pairs.quote, *pairs.verbatim] if pairs else []
        texts += [text for block in (*self.thoughts, *self.contents) for text in (block.opening, block.closing)]
        return frozenset(text for text in texts if text)


GENERIC = Form(
    "generic",
    CallForm(
        ('<tool_call>\n{"name": "', Slot.NAME, '", "arguments": ', Slot.ARGUMENTS, "}\n</tool_call>"),
        separator="\n",
    ),
    (MarkedBlock("<think>", "</think>"),),
    is_generic=True,
    shows_tools=False,
    shows_thoughts=False,
    shows_calls=False,
)
"""The form of models whose template has no tools: the service's instruction in words teaches it."""
