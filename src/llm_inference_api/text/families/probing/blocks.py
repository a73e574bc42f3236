"""Finds how a template writes thoughts and content, and what stands between them."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llm_inference_api.requests.chat import Message
from llm_inference_api.text.families.form import MarkedBlock, Switch
from llm_inference_api.text.families.probing.differences import common_start
from llm_inference_api.text.families.probing.probes import (
    CONTENT,
    FUNCTIONS,
    IDS,
    RESULT,
    THOUGHT,
    USER,
    ProbeCall,
    Probes,
    says,
)

DEFAULT = MarkedBlock("<think>", "</think>")
"""Thoughts of models whose template shows none: many write these, taught without their template."""
_SEGMENT = re.compile(r"<[^<>\s][^<>\n]*>|\[/?[A-Z_ ]+\]|[^<\[]+|.", re.DOTALL)
"""A marker, or what stands between two."""
_CLOSING = re.compile(r"</[\w:]*(?:think|thought|reason)\w*[\w:]*>|\[/THINK\]|<\|inner_suffix\|>|<\|END_THINKING\|>")
"""Markers of closed thoughts that stand in sources of templates which show no thoughts."""
_CALL = ProbeCall(FUNCTIONS[0], {"zqkeyone": "zqtext"})
_RESULT = Message("tool", RESULT, tool_call_id=IDS[0])


class Blocks(NamedTuple):
    """What was found."""

    header: str = ""
    """What the template writes between the user's word and an answer."""
    thoughts: tuple[MarkedBlock, ...] = (DEFAULT,)
    contents: tuple[MarkedBlock, ...] = ()
    between: str = ""
    found: bool = False
    """Whether the template shows thoughts."""
    begun: tuple[str, ...] = ()
    """What stands behind the user's word in prompts at whose end an answer begins."""
    ending: str = ""
    """What stands behind the last block, but for the marker that ends the answer."""


def after_user(text: str) -> str:
    """Returns what stands behind the user's word."""
    return text.rpartition(USER)[2]


def blocks_of(probes: Probes, source: str, switch: Switch | None) -> Blocks:
    """Returns the blocks of a template's answers."""
    begun = [after_user(text) for text in _begun(probes, switch) if text is not None]
    content = probes.of(says(CONTENT))
    if not begun or content is None:
        return Blocks()
    content = after_user(content)
    header = _header(content, begun)
    said = _said(probes, header, without(header, content).partition(CONTENT)[0])
    thoughts, between, header = said or (_unsaid([without(header, text) for text in begun], source), "", header)
    if thoughts is not None and not thoughts.opening:
        thoughts = MarkedBlock(_begun_opening(thoughts.closing, begun), thoughts.closing)
        header = header.rstrip().removesuffix(thoughts.opening)
    opening = without(header, content).partition(CONTENT)[0]
    if thoughts is not None and thoughts.closing in opening:
        opening = opening.rpartition(thoughts.closing)[2]
    opening = unbegun(opening, begun).strip("\n")
    if thoughts is not None and opening.strip() in ("", thoughts.opening):
        opening = ""
    contents: tuple[MarkedBlock, ...] = ()
    if opening:
        contents = (MarkedBlock(opening, _mirrored(opening, content.partition(CONTENT)[2])),)
    if contents and between and thoughts is not None and thoughts.closing != contents[0].closing:
        contents += (MarkedBlock(opening, thoughts.closing),)
    between = between or (_between_content_and_call(probes, header, contents[0]) if contents else "")
    rest = content.partition(CONTENT)[2].strip().removeprefix(contents[0].closing) if contents else ""
    ending = "".join(_SEGMENT.findall(rest.strip())[:-1]).strip()
    return Blocks(header, (thoughts or DEFAULT,), contents, between, thoughts is not None, tuple(begun), ending)


def unbegun(text: str, begun: Sequence[str]) -> str:
    """Returns the text without what the prompts end with already."""
    segments = _SEGMENT.findall(text)
    for count in range(len(segments), 0, -1):
        start = "".join(segments[:count])
        if start.strip() and all(prompt.rstrip().endswith(start.strip()) for prompt in begun):
            return text[len(start) :]
    return text


def without(header: str, text: str) -> str:
    """Returns what stands behind the user's word without the header of the answer."""
    return text[common_start([text, header]) :]


def _header(content: str, begun: Sequence[str]) -> str:
    """Returns what stands between the user's word and any answer: not the marker that opens thoughts."""
    header = content.partition(CONTENT)[0]
    for text in begun:
        # What turns thoughts off may stand behind the user's word.
        header = header[: common_start([header, text])] or header
    segments = _SEGMENT.findall(header.rstrip())
    closing = re.sub(r"^([<\[])", r"\1/", segments[-1]) if segments else ""
    return header.rstrip().removesuffix(segments[-1]) if _CLOSING.fullmatch(closing) else header


def _begun(probes: Probes, switch: Switch | None) -> Iterable[str | None]:
    """Yields prompts at whose end an answer begins."""
    yield probes.of(begins=True)
    if switch is not None and switch.variable:
        for value in (switch.on, switch.off):
            yield probes.of(begins=True, variables={switch.variable: value})


def _said(probes: Probes, header: str, content_opening: str) -> tuple[MarkedBlock, str, str] | None:
    """Returns the markers of thoughts in what the assistant has said, what stands between them and content, the header.

    Returns None if the template shows no thoughts.
    """
    chats: Sequence[tuple[Sequence[Message], str]] = (
        ((says(CONTENT, THOUGHT),), CONTENT),
        ((says("", THOUGHT, [_CALL]), _RESULT), FUNCTIONS[0]),
        ((says(CONTENT, THOUGHT, [_CALL]), _RESULT), CONTENT),
    )
    for messages, next_word in chats:
        text = probes.of(*messages, tools=len(messages) > 1)
        if text is None or THOUGHT not in text or next_word not in text.rpartition(THOUGHT)[2]:
            continue
        before, _, after = after_user(text).partition(THOUGHT)
        header = header[: common_start([header, after_user(text)])]
        opening = without(header, before).strip("\n")
        gap, _, _ = after.partition(next_word)
        if not opening and (block := _around(header, gap)) is not None:
            return block, "", header.rstrip().removesuffix(block.opening)
        if next_word == CONTENT and content_opening.strip() and gap.rstrip().endswith(content_opening.strip()):
            gap = gap.rstrip().removesuffix(content_opening.strip())
        elif next_word != CONTENT or content_opening.strip():
            gap = _mirrored(opening.strip(), gap)
        between = _shared_end(header.rstrip(), gap.rstrip(), opening)
        closing = gap.rstrip().removesuffix(between).strip()
        if closing:
            return MarkedBlock(opening, closing), between, header
    return None


def _around(header: str, gap: str) -> MarkedBlock | None:
    """Returns the markers around a thought that follows the header at once: the same words in other markers."""
    before, after = _SEGMENT.findall(header.rstrip()), _SEGMENT.findall(gap.strip())
    for count in range(min(len(before), len(after)), 0, -1):
        pairs = [*zip(before[-count:], after[:count], strict=True)]
        if all(left == right if left[0] not in "<[" else right[0] in "<[" for left, right in pairs):
            is_word = any(left[0] not in "<[" for left, _ in pairs)
            if is_word or _core(pairs[0][0]) == _core(pairs[0][1]) != "":
                return MarkedBlock("".join(before[-count:]), "".join(after[:count]))
    return None


def _core(marker: str) -> str:
    """Returns what a marker is named for."""
    return re.sub(r"[^a-z]|start|begin|open|end|close", "", marker.lower())


def _unsaid(ends: Sequence[str], source: str) -> MarkedBlock | None:
    """Returns the markers of thoughts that the source knows, or with which prompts end; None if there are none."""
    blocks = [MarkedBlock(_opening(closing), closing) for closing in dict.fromkeys(_CLOSING.findall(source))]
    shown = (block for block in blocks if block.opening in source or any(block.opening in end for end in ends))
    return next(shown, next(iter(blocks), None))


def _begun_opening(closing: str, begun: Sequence[str]) -> str:
    """Returns the marker of the opening with which prompts end, if earlier answers have only that of the closing."""
    opening = _opening(closing)
    return opening if opening != closing and any(text.rstrip().endswith(opening) for text in begun) else ""


def _opening(closing: str) -> str:
    """Returns the marker that opens the thoughts which this one closes."""
    return closing.replace("/", "", 1).replace("suffix", "prefix").replace("END_", "START_")


def _mirrored(opening: str, text: str) -> str:
    """Returns the markers and words at the start of the text that stand as those of the opening do."""
    found = []
    for expected, segment in zip(_SEGMENT.findall(opening) or ["<"], _SEGMENT.findall(text.strip()), strict=False):
        if (expected[0] in "<[") != (segment[0] in "<["):
            break
        found.append(segment)
    return "".join(found or [segment for segment in _SEGMENT.findall(text.strip())[:1] if segment[0] == "<"]).strip()


def _shared_end(header: str, text: str, opening: str) -> str:
    """Returns the last markers and words of the header with which the text ends too, if they are not all of it.

    What ends the opening of thoughts too is a part of a marker, and stands between nothing.
    """
    segments = _SEGMENT.findall(header)
    for count in range(len(segments), 0, -1):
        end = "".join(segments[-count:]).strip()
        if end and text.endswith(end) and text != end and not opening.endswith(end):
            return end
    return ""


def _between_content_and_call(probes: Probes, header: str, content: MarkedBlock) -> str:
    """Returns what stands between content and a call, if it ends the header too."""
    text = probes.of(says(CONTENT, calls=[_CALL]), tools=True)
    if text is None or CONTENT not in text:
        return ""
    gap = after_user(text).partition(CONTENT)[2].partition(FUNCTIONS[0])[0].strip()
    last = "".join(_SEGMENT.findall(header.strip())[-1:]).strip()
    return last if last and last in gap and last not in content.opening + content.closing else ""
