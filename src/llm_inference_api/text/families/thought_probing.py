"""Finds how a template writes thoughts and content, and how it is told whether to think."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from llm_inference_api.text.families.differences import common_end, common_start
from llm_inference_api.text.families.form import Block, Switch
from llm_inference_api.text.families.probes import CONTENT, IDS, RESULT, THOUGHT, Made, Probes, says
from llm_inference_api.requests.chat import Message

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Words for efforts, from the least to the most."""
_VARIABLE = re.compile(r"\b(?!reasoning_content\b|reasoning_text\b)(\w*(?:think|reason)\w*)\b")
_CLOSING = re.compile(r"</[\w:]*think[\w:]*>|</[\w:]*thought[\w:]*>|\[/THINK\]|</reasoning>")
_GARBAGE = "zqeffort"
DEFAULT = Block("<think>", "</think>")
"""Thoughts of models whose template shows none: many write these, taught without their template."""
_ON_OFF = ((True, False), ("thinking", "chat"), ("on", "off"), ("enabled", "disabled"))
"""Pairs of values that turn thoughts on and off."""


class Thinking(NamedTuple):
    """What was found."""

    thoughts: tuple[Block, ...]
    contents: tuple[Block, ...]
    switch: Switch | None


def thinking_of(probes: Probes, source: str) -> Thinking:
    """Returns how the template writes thoughts and content."""
    switch = _switch(probes, source)
    begun = [text for text in _begun(probes, switch) if text is not None]
    content = probes.of(says(CONTENT))
    block, wrapped = None, None
    if begun and content is not None:
        header = common_start([*begun, content])
        block = _said(probes, header) or _opened(begun, header, source)
        wrapped = _content(probes, content[header:], block)
    return Thinking((block or DEFAULT,), (wrapped,) if wrapped else (), switch)


def _begun(probes: Probes, switch: Switch | None) -> Iterable[str | None]:
    """Yields prompts at whose end an answer begins."""
    yield probes.of(begins=True)
    if switch is not None and switch.variable:
        for value in (switch.on, switch.off):
            yield probes.of(begins=True, variables={switch.variable: value})


def _said(probes: Probes, header: int) -> Block | None:
    """Returns the markers of thoughts in what the assistant has said; None if the template shows none."""
    call = Made("zqfunone", {"zqkeyone": "zqtext"})
    chats = (
        ((says(CONTENT, THOUGHT),), CONTENT),
        ((says("", THOUGHT, [call]), Message("tool", RESULT, tool_call_id=IDS[0])), "zqfunone"),
        ((says(CONTENT, THOUGHT, [call]), Message("tool", RESULT, tool_call_id=IDS[0])), CONTENT),
    )
    for messages, next_word in chats:
        text = probes.of(*messages, tools=len(messages) > 1)
        if text is None or THOUGHT not in text:
            continue
        before, _, after = text.rpartition(THOUGHT)
        opening = _last_marker(before)
        closing = _first_marker(after.partition(next_word)[0])
        if closing:
            return Block(opening, closing)
    return None


_MARKER = r"(?:<[^<>\s][^<>\n]*>|\[[A-Z_ /]+\]|◁/?think▷)"


def _last_marker(text: str) -> str:
    found = re.search(rf"({_MARKER}(?:\w+)?)\s*$", text)
    return found[1] if found else ""


def _first_marker(text: str) -> str:
    found = re.match(rf"\s*({_MARKER})", text)
    return found[1] if found else ""


def _opened(begun: list[str], header: int, source: str) -> Block | None:
    """Returns the markers of thoughts with which prompts end; None if none does."""
    ends = [text[header:].strip() for text in begun]
    closings = _CLOSING.findall(source)
    for end in ends:
        opening = _last_marker(end)
        named = opening.replace("<", "</").replace("[", "[/")
        if opening and named in source:
            return Block(opening, named)
    return Block(closings[0].replace("/", "", 1), closings[0]) if closings else None


def _content(probes: Probes, content: str, thoughts: Block | None) -> Block | None:
    """Returns the markers around content; None if there are none."""
    before, _, after = content.partition(CONTENT)
    if thoughts is not None:
        before = before.rpartition(thoughts.closing)[2] if thoughts.closing in before else before
    opening = _last_marker(before)
    if not opening or (thoughts is not None and opening == thoughts.opening):
        return None
    other = probes.of(says(f"{CONTENT} {CONTENT}"))
    assert other is not None
    return Block(opening, _first_marker(after))


def _switch(probes: Probes, source: str) -> Switch | None:
    """Returns how the template is told whether to think, by what changes what it writes; None if nothing does."""
    names = [name for name in dict.fromkeys(_VARIABLE.findall(source)) if "_content" not in name]
    unset = probes.of(begins=True)
    variable, on, off, default = "", True, False, True
    effort_variable, efforts = "", ()
    for name in names:
        if not variable:
            for values in _ON_OFF:
                texts = [probes.of(begins=True, variables={name: value}) for value in values]
                neither = probes.of(begins=True, variables={name: _GARBAGE})
                if None not in texts and texts[0] != texts[1] and (values[0] is True or neither not in texts):
                    variable, (on, off), default = name, values, texts[0] == unset
                    break
        if not effort_variable and name != variable:
            efforts = _efforts(probes, name)
            effort_variable = name if efforts else ""
    if not variable and not effort_variable:
        return None
    return Switch(variable, on, off, effort_variable, efforts, default)


def _efforts(probes: Probes, name: str) -> tuple[str, ...]:
    """Returns the words that the variable knows."""
    texts = {word: probes.of(begins=True, variables={name: word}) for word in (*EFFORTS, _GARBAGE)}
    garbage = texts.pop(_GARBAGE)
    if garbage is not None and _GARBAGE in garbage:
        return ("low", "medium", "high")
    known = tuple(word for word, text in texts.items() if text is not None and text != garbage)
    return known if len({texts[word] for word in known}) > 1 or garbage is None else ()
