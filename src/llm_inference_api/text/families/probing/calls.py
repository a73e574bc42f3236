"""Finds how a template writes the calls of tools."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llm_inference_api.text.families.form import CallForm, Pairs, Pattern, Slot, Values
from llm_inference_api.text.families.probing.blocks import Blocks, after_user, unbegun, without
from llm_inference_api.text.families.probing.differences import common_end, common_start
from llm_inference_api.text.families.probing.probes import CONTENT, FUNCTIONS, IDS, KEYS, TEXT, ProbeCall, Probes, says
from llm_inference_api.text.families.writing import written_pairs

_NAME, _ID, _INDEX, _ARGUMENTS, _KEY, _VALUE, _KIND = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"
_SLOTS = dict(
    zip(
        (_NAME, _ID, _INDEX, _ARGUMENTS, _KEY, _VALUE, _KIND),
        (Slot.NAME, Slot.ID, Slot.INDEX, Slot.ARGUMENTS, Slot.KEY, Slot.VALUE, Slot.KIND),
        strict=True,
    )
)
_ONE: Mapping[str, object] = {KEYS[0]: TEXT}
_TWO: Mapping[str, object] = {KEYS[0]: TEXT, KEYS[1]: TEXT}
_NUMBER = 4711
_KINDS: Mapping[str, object] = {
    "string": TEXT,
    "integer": _NUMBER,
    "number": 47.5,
    "boolean": True,
    "array": [_NUMBER],
    "object": {"zqinner": _NUMBER},
    "null": None,
}
_INDEXED = tuple(f"functions.{name}:{index}" for index, name in enumerate(FUNCTIONS))
"""Ids that have the name and number of the call, which Kimi K2 writes instead of the name."""


class NotFoundError(Exception):
    """The template writes no calls, or in a way that is not understood. The text says what was seen."""


def calls_of(probes: Probes, blocks: Blocks) -> CallForm:
    """Returns how the template writes calls, by how it writes content. Raises NotFoundError."""
    sections = _Sections(probes, blocks, IDS)
    if FUNCTIONS[0] not in sections.of(_ONE):
        sections = _Sections(probes, blocks, _INDEXED)
    one = sections.of(_ONE)
    if FUNCTIONS[0] not in one or KEYS[0] not in one:
        raise NotFoundError(f"a call is written without its name or arguments: {one[:200]!r}")
    pairs = None if _json_spans(one) else _pairs(sections)
    single = _slotted(one, sections.ids, pairs)
    if single.count(_ARGUMENTS) != 1 or not 0 <= single.find(_NAME) < single.find(_ARGUMENTS):
        raise NotFoundError(f"a call does not have its name before its arguments: {one[:200]!r}")
    try:
        several = _slotted(sections.of(_ONE, _ONE), sections.ids, pairs)
    except NotFoundError:
        several = ""
    is_parallel = several.count(_ARGUMENTS) == 2
    split = _split(single, several, _ARGUMENTS) if is_parallel else _Split("", single, "", "", "")
    call = split.before + split.after if split.opening.strip() else _trimmed(split.before + split.after)
    first = re.search(rf"(\d+){_INDEX}", call)
    return CallForm(
        _pattern(re.sub(rf"\d+{_INDEX}", _INDEX, call)),
        opening=_trimmed(split.opening),
        separator=split.separator,
        closing=_closing(split.opening, split.closing),
        arguments=pairs,
        others=_shortened(call) if pairs else (),
        are_parallel=is_parallel,
        id_of=_pattern(f"functions.{_NAME}:{_INDEX}") if f"functions.{_NAME}:" in call else (),
        first_index=int(first[1]) if first else 0,
        may_omit_opening=bool(split.opening.strip()) and call.lstrip().startswith("<"),
    )


class _Sections:
    """Texts of answers with calls alone."""

    def __init__(self, probes: Probes, blocks: Blocks, ids: Sequence[str]) -> None:
        self._probes = probes
        self._blocks = blocks
        self.ids = ids

    def of(self, *arguments: Mapping[str, object]) -> str:
        """Returns the text of the calls. Raises NotFoundError if the template refuses them."""
        made = [ProbeCall(FUNCTIONS[at], each, self.ids[at]) for at, each in enumerate(arguments)]
        text, content = (self._probes.of(message, tools=True) for message in (says(calls=made), says(CONTENT)))
        if text is None:
            raise NotFoundError("the template refuses an answer that calls a tool")
        text = unbegun(without(self._blocks.header, after_user(text)), self._blocks.begun)
        if content is None:
            return text
        content = without(self._blocks.header, after_user(content))
        start = 0 if self._blocks.contents else common_start([text, content])
        return self._without_blocks(text[start : len(text) - common_end([text[start:], content[start:]])])

    def _without_blocks(self, text: str) -> str:
        """Returns the text without empty thoughts and content at its start."""
        for block in self._blocks.thoughts:
            text = re.sub(rf"^\s*(?:{_lenient(block.opening)}\s*)?{_lenient(block.closing)}", "", text)
        for block in self._blocks.contents:
            text = re.sub(rf"^\s*{_lenient(block.opening)}\s*{_lenient(block.closing)}", "", text)
        return text


def _closing(opening: str, text: str) -> str:
    """Returns what closes calls, without what ends the answer. A section that is not opened is not closed."""
    if not opening.strip():
        return ""
    markers = re.findall(r"<[^<>\s]+>", opening)
    closings = [marker.replace("<", "</") for marker in markers]
    if len(markers) == 1 and not re.search(r"\w", opening.replace(markers[0], "")):
        closings += re.findall(r"<[^<>\s]+>", text)[:1]
    ends = (text.index(closing) + len(closing) for closing in closings if closing in text)
    found = text[: next(ends, len(text))].rstrip()
    last = re.search(r"\w(<[^<>\s]+>)\s*$", opening)
    return found + last[1] if last and re.search(r"\w$", found) else found


def _shortened(call: str) -> tuple[Pattern, ...]:
    """Returns the call without the first of two markers before the name, which models leave out."""
    found = re.match(rf"<\w+>\s*(?=<[^{_NAME}]*{_NAME})", call)
    return (_pattern(call[found.end() :]),) if found else ()


def _lenient(marker: str) -> str:
    return re.escape(marker.strip())


def _trimmed(text: str) -> str:
    """Returns the text without line breaks around it, and without spaces before a marker or brace."""
    text = text.strip("\n")
    return text.lstrip() if text.lstrip()[:1] in ("<", "[", "{") else text


class _Split(NamedTuple):
    """What repeated things have around them."""

    opening: str
    """Before the first."""
    before: str
    """At the start of each, with the slot."""
    after: str
    """At the end of each."""
    separator: str
    closing: str
    """After the last."""


def _split(single: str, several: str, slot: str) -> _Split:
    """Compares a text with one thing, which ends with the slot, to the same with two of them. Raises NotFoundError."""
    head, tail = _parted(single, slot)
    first, rest = _parted(several, slot)
    middle, end = _parted(rest, slot)
    if head != first or not end.startswith(tail):
        raise NotFoundError(f"two calls are not written as one is: {several[:300]!r}")
    tail = end
    counted_head, counted_middle = _counted(head, middle)
    before = counted_head[len(counted_head) - common_end([counted_head, counted_middle]) :]
    left = counted_middle[: len(counted_middle) - len(before)]
    after = left[: common_start([left, tail])] if tail else ""
    opening, separator, closing = (
        counted_head[: len(counted_head) - len(before)],
        left[len(after) :],
        tail[len(after) :],
    )
    first_marker = re.match(r"<[^<>\s]+>", before)
    if first_marker and not separator and closing.startswith(first_marker[0]):
        # A marker that ends other markers belongs to what stands before it.
        ending = first_marker[0]
        opening, before, after = opening + ending, before.removeprefix(ending), after + ending
        closing = closing.removeprefix(ending)
    return _Split(opening, before, after, separator, closing)


def _counted(head: str, middle: str) -> tuple[str, str]:
    """Returns both texts with a mark behind a number, if the second has the next one in its place, from the end."""
    at = 1
    while at <= min(len(head), len(middle)) and head[-at] == middle[-at]:
        at += 1
    numbers = [re.search(r"\d+$", text[: len(text) - at + 1]) for text in (head, middle)]
    if not all(numbers):
        return head, middle
    here, there = (found[0] for found in numbers if found)
    if int(there) != int(here) + 1:
        return head, middle
    end = at - 1
    return _with_index(head, end, here, here), _with_index(middle, end, there, here)


def _with_index(text: str, end: int, number: str, first: str) -> str:
    """Returns the text with the first number and a slot in the place of the number before its last `end` characters."""
    return f"{text[: len(text) - end - len(number)]}{first}{_INDEX}{text[len(text) - end :]}"


def _parted(text: str, slot: str) -> tuple[str, str]:
    before, found, after = text.partition(slot)
    return before + found, after


def _slotted(section: str, ids: Sequence[str], pairs: Pairs | None) -> str:
    """Returns the text with slots in the place of names, ids and arguments."""
    if pairs is None:
        for start, end in reversed(_json_spans(section)):
            section = section[:start] + _ARGUMENTS + section[end:]
    else:
        section = section.replace(written_pairs(pairs, _ONE), _ARGUMENTS)
    for at, name in enumerate(FUNCTIONS):
        section = section.replace(ids[at], f"functions.{_NAME}:{at}" if ids is _INDEXED else _ID).replace(name, _NAME)
    return section


def _json_spans(text: str) -> list[tuple[int, int]]:
    """Returns where the arguments stand as a JSON object."""
    decoder = json.JSONDecoder()
    spans = []
    for found in re.finditer(r"\{", text):
        try:
            value, end = decoder.raw_decode(text, found.start())
        except ValueError:
            continue
        if value == _ONE:
            spans.append((found.start(), end))
    return spans


def _pairs(sections: _Sections) -> Pairs:
    """Returns how arguments are written that are no JSON object. Raises NotFoundError."""
    single, several = (_after_name(sections.of(arguments)) for arguments in (_ONE, _TWO))
    texts = [text.replace(KEYS[0], _KEY).replace(KEYS[1], _KEY).replace(TEXT, _VALUE) for text in (single, several)]
    if texts[0].count(_VALUE) != 1 or not 0 <= texts[0].find(_KEY) < texts[0].find(_VALUE):
        raise NotFoundError(f"arguments are written in an unknown way: {single[:200]!r}")
    split = _split(texts[0], texts[1], _VALUE)
    pair = split.before + split.after
    kinds = _after_name(sections.of({f"{KEYS[0]}{kind}": value for kind, value in _KINDS.items()}))
    keys = [key for key in (f"{KEYS[0]}{kind}" for kind in _KINDS) if key in kinds]
    if any(f"{pair.partition(_KEY)[0]}{key}" not in kinds for key in keys):
        raise NotFoundError(f"arguments begin otherwise for other types: {kinds[:300]!r}")
    middles = {kind: _middle(kinds, kind) for kind in _KINDS}
    quoted, plain = middles["string"], middles["integer"]
    if quoted == plain:
        return Pairs(_pattern(pair), split.separator, item=_item(kinds, pair))
    if quoted.startswith(plain):
        quote = quoted.removeprefix(plain)
        bare = pair.replace(f"{quote}{_VALUE}{quote}", _VALUE)
        return Pairs(_pattern(bare), split.separator, _values(kinds, quote), quote)
    start, end = common_start([quoted, plain]), common_end([quoted, plain])
    words = tuple((kind, text[start : len(text) - end]) for kind, text in middles.items() if text)
    spelled = pair.replace(quoted, f"{quoted[:start]}{_KIND}{quoted[len(quoted) - end :]}")
    return Pairs(_pattern(spelled), split.separator, kinds=words)


def _item(text: str, pair: str) -> str:
    """Returns the key of an array's items, if values are written as pairs within pairs."""
    inside = _after(text, f"{KEYS[0]}array").partition(str(_NUMBER))[0]
    before, after = (re.escape(part) for part in pair.partition(_VALUE)[0].split(_KEY, 1))
    found = re.search(rf"{before}(\w+){after}\s*$", inside)
    return found[1] if found else ""


def _after(text: str, word: str) -> str:
    return text.partition(word)[2]


def _after_name(section: str) -> str:
    return section.partition(FUNCTIONS[0])[2]


def _middle(text: str, kind: str) -> str:
    """Returns what stands between the key and the value of an argument; empty if the value is not found."""
    own = _after(text, f"{KEYS[0]}{kind}").partition(KEYS[0])[0]
    value = _KINDS[kind]
    spellings = {str(value), json.dumps(value), f"[{_NUMBER}]", "{", "None", "null"} if kind != "string" else {TEXT}
    # The last place: a word for the type, such as `null`, may be spelled as the value is.
    return own[: max(0, *(own.rfind(spelling) for spelling in spellings if _fits(spelling, kind)))]


def _fits(spelling: str, kind: str) -> bool:
    starts = {"array": "[", "object": "{", "null": "Nn", "boolean": "Tt"}
    return spelling[0] in starts[kind] if kind in starts else spelling not in ("{", "None", "null", f"[{_NUMBER}]")


def _values(text: str, quote: str) -> Values:
    if "True" in text:
        return Values.PYTHON
    return Values.JSON if quote == '"' and '"zqinner"' in text else Values.BARE


def _pattern(text: str) -> Pattern:
    """Returns the pattern of a text with slots."""
    parts = re.split(f"([{''.join(_SLOTS)}])", text)
    return tuple(_SLOTS.get(part, part) for part in parts if part)
