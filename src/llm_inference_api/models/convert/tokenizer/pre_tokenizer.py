"""Recognising how tokenizer.json splits text, and llama.cpp's name for the same split."""

from typing import Any

from llm_inference_api.models.convert.errors import ConversionError

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
QWEN2 = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
DIGIT = r"\p{N}"

# (the patterns in their order, model.ignore_merges) → llama.cpp's name. Only pairs that a test compares token
# by token are here; llama.cpp has more names, some for patterns that it only approximates (tekken, gpt-4o).
_NAMES: dict[tuple[tuple[str, ...], bool], str] = {
    ((GPT2,), False): "gpt-2",
    ((DIGIT, GPT2), False): "smollm",
    ((LLAMA3,), True): "llama-bpe",
    ((LLAMA3,), False): "dbrx",
    ((QWEN2,), False): "qwen2",
}

# Spellings that match the same text: possessive quantifiers where backtracking finds nothing, counts of one,
# tiktoken's order inside the contractions, a newline after white space that is greedy anyway.
_SPELLINGS = (
    ("'(?i:[sdmt]|ll|ve|re)", _CONTRACTIONS),
    ("?+", "?"),
    ("++", "+"),
    (r"\p{N}{1}", r"\p{N}"),
    (r"|\s*[\r\n]|", r"|\s*[\r\n]+|"),
)


def recognise(definition: Any, *, ignore_merges: bool) -> str:
    """llama.cpp's name of a byte-level pre-tokenizer, or a refusal that shows the definition."""
    patterns = tuple(_patterns(definition))
    name = _NAMES.get((patterns, ignore_merges))
    if name is None:
        shown = " then ".join(patterns) or "no pattern"
        merges = "true" if ignore_merges else "false"
        raise ConversionError(
            f"tokenizer.json: the pre-tokenizer {shown} with ignore_merges {merges} has no equal in llama.cpp"
        )
    return name


def _patterns(definition: Any) -> list[str]:
    steps = _steps(definition)
    if not steps or _kind(steps[-1]) != "ByteLevel":
        raise _refused(definition, "must end with ByteLevel")
    if any(step.get("add_prefix_space", False) for step in steps if _kind(step) == "ByteLevel"):
        raise _refused(definition, "has add_prefix_space, which llama.cpp has no equal for")
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
        raise _refused(step, "has no equal in llama.cpp")
    pattern = step.get("pattern")
    expression = pattern.get("Regex") if isinstance(pattern, dict) else None
    # The patterns we know cover every character: what is between matches is empty and may as well be removed.
    behaviour = (step.get("behavior"), bool(step.get("invert", False)))
    if not isinstance(expression, str) or behaviour not in (("Isolated", False), ("Removed", True)):
        raise _refused(step, "has no equal in llama.cpp")
    if _normal(expression) == DIGIT and behaviour[1]:
        raise _refused(step, "has no equal in llama.cpp")
    return _normal(expression)


def _normal(expression: str) -> str:
    for spelling, common in _SPELLINGS:
        expression = expression.replace(spelling, common)
    return expression


def _refused(definition: Any, why: str) -> ConversionError:
    text = str(definition)
    return ConversionError(f"tokenizer.json: the pre-tokenizer {text[:200]} {why}")
