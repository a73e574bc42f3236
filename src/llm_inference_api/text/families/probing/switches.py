"""Finds how a template is told whether, and how much, to think."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from llm_inference_api.text.families.form import Switch
from llm_inference_api.text.families.probing.probes import Probes
from llm_inference_api.text.families.switching import BY_DEFAULT

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Words for efforts, from the least to the most."""
_VARIABLE = re.compile(r"(?<![\w.'\"-])\w*(?:think|reason)\w*(?![\w'\"(-])")
"""A name that is no attribute, key, or function."""
_FIELDS = re.compile(r"content|text|_tokens?$|_start$|_end$")
"""What names of a message's fields and of markers have."""
_WORD = "zqeffort"
_ON_OFF = ((True, False), ("thinking", "chat"), ("enabled", "disabled"), ("on", "off"))
"""Pairs of values that turn thoughts on and off."""
_OFF_WORDS = ("no_think", "nothink", "off", "disabled")
"""Words for no thoughts beside those for efforts."""
_BUDGET = (-1, 0)
"""The same for a number of tokens."""


def switch_of(probes: Probes, source: str) -> Switch | None:
    """Returns how the template is told whether to think, by what changes what it writes; None if nothing does."""
    names = [name for name in dict.fromkeys(_VARIABLE.findall(source)) if not _FIELDS.search(name)]
    words = {*re.findall(r"['\"](\w+)['\"]", source)}
    unset = probes.of(begins=True)
    switch, efforts = Switch(""), Switch("")
    for name in names:
        word = probes.of(begins=True, variables={name: _WORD})
        if not efforts.effort_variable and (known := _efforts(probes, name, word, words)):
            efforts = Switch("", effort_variable=name, efforts=known)
        elif not switch.variable:
            switch = _values(probes, name, word, unset, words)
    if switch.variable and not efforts.effort_variable:
        efforts = _efforts_of_thinking(probes, names, words, {switch.variable: switch.on})
    if efforts.effort_variable and not switch.variable:
        switch = _off_word(probes, efforts, unset, words)
    if not switch.variable and not efforts.effort_variable:
        return None
    if switch.variable in BY_DEFAULT and not re.search(rf"\b{switch.variable}\s*(?:\||is\b)", source):
        switch = replace(switch, default=True)  # It has no default of its own, and is told what others tell it.
    return Switch(switch.variable, switch.on, switch.off, efforts.effort_variable, efforts.efforts, switch.default)


def _values(probes: Probes, name: str, word: str | None, unset: str | None, words: AbstractSet[str]) -> Switch:
    """Returns the variable with the values that turn thoughts on and off; without a name if there are none.

    `words` are those that the source compares with.
    """
    if word is not None and _WORD in word:
        return Switch("")
    for on, off in (_BUDGET,) if "budget" in name else _ON_OFF:
        if isinstance(on, str) and not {on, off} & words:
            continue
        texts = [probes.of(begins=True, variables={name: value}) for value in (on, off)]
        if None not in texts and texts[0] != texts[1] and (not isinstance(on, str) or word not in texts):
            return Switch(name, on, off, default=texts[0] == unset)
    return Switch("")


def _efforts_of_thinking(
    probes: Probes, names: Sequence[str], words: AbstractSet[str], on: Mapping[str, object]
) -> Switch:
    """Returns the variable with the words for efforts that a template knows once it is told to think."""
    for name in names:
        if name not in on:
            unknown = probes.of(begins=True, variables={**on, name: _WORD})
            texts = {word: probes.of(begins=True, variables={**on, name: word}) for word in EFFORTS if word in words}
            known = tuple(word for word, text in texts.items() if text is not None and text != unknown)
            if known and (unknown is None or _WORD not in unknown):
                return Switch("", effort_variable=name, efforts=known)
    return Switch("")


def _off_word(probes: Probes, efforts: Switch, unset: str | None, words: AbstractSet[str]) -> Switch:
    """Returns the variable of the efforts as a switch, if it has a word for no thoughts that is no effort."""
    name, best = efforts.effort_variable, efforts.efforts[-1]
    for word in _OFF_WORDS:
        off = probes.of(begins=True, variables={name: word}) if word in words else None
        if off is not None:
            return Switch(name, best, word, default=off != unset)
    return Switch("")


def _efforts(probes: Probes, name: str, word: str | None, words: AbstractSet[str]) -> tuple[str, ...]:
    """Returns the words that the variable knows; none if it takes no words. `words` are those of the source."""
    if word is not None and _WORD in word:
        return ("low", "medium", "high")
    texts = {effort: probes.of(begins=True, variables={name: effort}) for effort in EFFORTS if effort in words}
    known = tuple(effort for effort, text in texts.items() if text is not None and text != word)
    return known if len({texts[effort] for effort in known}) > 1 else ()
