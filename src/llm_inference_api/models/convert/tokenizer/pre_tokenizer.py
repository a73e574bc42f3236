"""Pre-tokenizers: the definition in tokenizer.json, and llama.cpp's name of the same one."""

from typing import Any

from llm_inference_api.models.convert.errors import ConversionError

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
DIGIT = r"\p{N}"

_NAMES: dict[tuple[tuple[str, ...], bool], str] = {
    ((GPT2,), False): "gpt-2",
    ((DIGIT, GPT2), False): "smollm",
    ((LLAMA3,), True): "llama-bpe",
    ((LLAMA3,), False): "dbrx",
    ((QWEN2,), False): "qwen2",
}
"""llama.cpp's name (llama-vocab.cpp) by the patterns in their order and `model.ignore_merges`.

Only those that tests compare token by token are listed. llama.cpp has more names, some of them for patterns that it
only approximates (tekken, gpt-4o).
"""

_SPELLINGS = (
    ("'(?i:[sdmt]|ll|ve|re)", _CONTRACTIONS),
    ("?+", "?"),
    ("++", "+"),
    (r"\p{N}{1}", r"\p{N}"),
    (r"|\s*[\r\n]|", r"|\s*[\r\n]+|"),
)
"""Spellings and the common ones that match the same text.

Possessive quantifiers where backtracking finds nothing; counts of one; tiktoken's order of the contractions; a single
line end after white space, which is greedy and takes all but the last.
"""


def recognise(definition: Any, *, ignore_merges: bool) -> str:
    """Returns llama.cpp's name of a byte-level pre-tokenizer.

    Args:
        definition: `pre_tokenizer` of tokenizer.json.
        ignore_merges: `model.ignore_merges`, which llama.cpp derives from the pre-tokenizer's name.

    Raises:
        ConversionError: llama.cpp has no equivalent; the message shows the definition.
    """
    patterns = tuple(_patterns(definition))
    name = _NAMES.get((patterns, ignore_merges))
    if name is None:
        shown = " then ".join(patterns) or "no pattern"
        merges = "true" if ignore_merges else "false"
        raise ConversionError(
            f"tokenizer.json: the pre-tokenizer {shown} with ignore_merges {merges} has no equivalent in llama.cpp"
        )
    return name


def _patterns(definition: Any) -> list[str]:
    """Returns the patterns that split text one after the other, in their common spelling."""
    steps = _steps(definition)
    if not steps or _kind(steps[-1]) != "ByteLevel":
        raise _refused(definition, "must end with ByteLevel")
    if any(step.get("add_prefix_space", False) for step in steps if _kind(step) == "ByteLevel"):
        raise _refused(definition, "has add_prefix_space, which has no equivalent in llama.cpp")
    patterns = [_pattern(step) for step in steps[:-1]]
    return [*patterns, GPT2] if steps[-1].get("use_regex", True) else patterns


def _steps(definition: Any) -> list[dict[str, Any]]:
    if _kind(definition) == "Sequence":
        parts = definition.get("pretokenizers")
        return [step for part in parts for step in _steps(part)] if isinstance(parts, list) else []
    return [definition] if isinstance(definition, dict) else []


def _kind(definition: Any) -> str:
    return str(definition.get("type")) if isinstance(definition, dict) else "none"


def _pattern(step: dict[str, Any]) -> str:
    if _kind(step) == "Digits" and step.get("individual_digits"):
        return DIGIT
    if _kind(step) != "Split":
        raise _refused(step, "has no equivalent in llama.cpp")
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    # The known patterns match every character, so that there is nothing between two matches to remove.
    behaviour = (step.get("behavior"), bool(step.get("invert", False)))
    if not isinstance(expression, str) or behaviour not in (("Isolated", False), ("Removed", True)):
        raise _refused(step, "has no equivalent in llama.cpp")
    if _normal(expression) == DIGIT and behaviour[1]:
        raise _refused(step, "has no equivalent in llama.cpp")
    return _normal(expression)


def _normal(expression: str) -> str:
    for spelling, common in _SPELLINGS:
        expression = expression.replace(spelling, common)
    return expression


def _refused(definition: Any, why: str) -> ConversionError:
    text = str(definition)
    return ConversionError(f"tokenizer.json: the pre-tokenizer {text[:200]} {why}")
