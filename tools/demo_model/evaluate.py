"""Evaluation of the exported file through llama.cpp, greedily and with the service's default sampling."""

import json
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp.llama import Llama  # noqa: TID251 - the exported file is checked by llama.cpp itself
from tokenizers import Tokenizer

from .conversation import Case
from .tokenizer import prompt, without_special

GREEDY: dict[str, Any] = {"temperature": 0.0}
DEFAULTS: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0}
MAX_TOKENS = 512

TARGETS = {
    "exact result of sums, number pairs never trained on": ("sums, held-out pairs", "", 0.90),
    "right capital, wordings never trained on": ("capitals, held-out wordings", "", 0.95),
    "honest refusal of prompts from outside its world": ("refusals", "", 0.90),
    "valid JSON on request": ("JSON", "valid", 0.95),
    "stops by itself within 512 tokens": ("stops by itself", "", 0.99),
}
"""Targets: prefix and suffix of the groups that count, and the share of their cases that must pass."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model answered to a case."""

    case: Case
    text: str
    stopped: bool

    @property
    def passed(self) -> bool:
        """Whether the answer passes the case's check."""
        return CHECKS[self.case.check](self.text, self.case.expected)


def _number(text: str, expected: str) -> bool:
    return re.findall(r"-?\d+", text)[-1:] == [expected]


def _valid_json(text: str, _: str) -> bool:
    with suppress(ValueError):
        return isinstance(json.loads(text), dict | list)
    return False


def _json(text: str, expected: str) -> bool:
    return _valid_json(text, "") and json.loads(text) == json.loads(expected)


def _haiku(text: str, first: str) -> bool:
    return len(text.splitlines()) == 3 and text.startswith(first)


def _story(text: str, animal: str) -> bool:
    return text.count(".") >= 4 and animal in text


CHECKS: dict[str, Callable[[str, str], bool]] = {
    "number": _number,
    "valid json": _valid_json,
    "json": _json,
    "haiku": _haiku,
    "story": _story,
    "contains": lambda text, expected: expected.lower() in text.lower(),
    "starts": lambda text, expected: text.startswith(f"{expected} "),
    "exact": lambda text, expected: text == expected,
    "one of": lambda text, expected: text in expected.split("\n---\n"),
    "pirate": lambda text, expected: text.startswith("Arr") and expected in text,
}
"""Checks of an answer against Case.expected, by name."""


def open_model(path: Path, *, logits: bool = False, threads: int = 2) -> Llama:
    """Returns the exported model, loaded on the CPU; `logits` keeps those of all positions."""
    return Llama(
        str(path),
        n_ctx=2048,
        n_threads=threads,
        n_threads_batch=threads,
        n_batch=512,
        verbose=False,
        seed=1,
        logits_all=logits,
    )


def answer(model: Llama, text: str, settings: dict[str, Any]) -> tuple[str, bool]:
    """Returns the continuation of a rendered prompt, and whether it ended before MAX_TOKENS."""
    tokens = model.tokenize(text.encode(), add_bos=False, special=True)
    choice = model.create_completion(tokens, max_tokens=MAX_TOKENS, **settings)["choices"][0]  # type: ignore[index]
    return choice["text"], choice["finish_reason"] == "stop"


def run(model: Llama, cases: list[Case], settings: dict[str, Any]) -> list[Outcome]:
    """Returns the outcome of every case."""
    return [Outcome(case, *answer(model, prompt(case), settings)) for case in cases]


def scores(outcomes: list[Outcome]) -> dict[str, tuple[int, int]]:
    """Returns the numbers of passed and of all cases by group, with a group for answers that ended by themselves."""
    groups: dict[str, list[bool]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.case.group, []).append(outcome.passed)
    groups["stops by itself"] = [outcome.stopped for outcome in outcomes]
    return {group: (sum(passed), len(passed)) for group, passed in groups.items()}


def summary(greedy: list[Outcome], sampled: list[Outcome]) -> str:
    """Returns the figures that have a target, as a Markdown table."""
    columns = [scores(greedy), scores(sampled)]
    lines = ["| Figure | Target | Greedy | Default sampling |", "|---|---:|---:|---:|"]
    for figure, (prefix, suffix, target) in TARGETS.items():
        shares = [_share(column, prefix, suffix) for column in columns]
        lines.append(f"| {figure} | ≥ {target:.0%} | {shares[0]:.1%} | {shares[1]:.1%} |")
    return "\n".join(lines)


def _share(column: dict[str, tuple[int, int]], prefix: str, suffix: str) -> float:
    found = [score for group, score in column.items() if group.startswith(prefix) and group.endswith(suffix)]
    return sum(passed for passed, _ in found) / max(1, sum(total for _, total in found))


def table(greedy: list[Outcome], sampled: list[Outcome]) -> str:
    """Returns the share of passed cases of every group, as a Markdown table."""
    lines = ["| Group | Items | Greedy | Default sampling |", "|---|---:|---:|---:|"]
    second = scores(sampled)
    for group, (passed, total) in scores(greedy).items():
        lines.append(f"| {group} | {total} | {passed / total:.1%} | {second[group][0] / total:.1%} |")
    return "\n".join(lines)


def logit_error(path: Path, reference: Path) -> tuple[float, float]:
    """Returns the largest and the mean difference between the file's logits and the reference's."""
    saved = np.load(reference)
    model = open_model(path, logits=True)
    model.eval(saved["tokens"].tolist())
    difference = np.abs(model.scores[: len(saved["tokens"])] - saved["logits"].astype(np.float32))
    return float(difference.max()), float(difference.mean())


def token_differences(model: Llama, tokenizer: Tokenizer, texts: list[str]) -> int:
    """Returns in how many cases llama.cpp's tokens differ from the trained tokenizer's.

    Each text counts twice: with special tokens parsed and with special tokens as plain characters.
    """
    plain = without_special(tokenizer)
    pairs = ((tokenizer, True), (plain, False))
    return sum(
        model.tokenize(text.encode(), add_bos=False, special=special)
        != chosen.encode(text, add_special_tokens=False).ids
        for text in texts
        for chosen, special in pairs
    )


def report_failures(outcomes: list[Outcome], limit: int = 3) -> None:
    """Prints up to `limit` failed answers of each group to standard error."""
    shown: dict[str, int] = {}
    for outcome in outcomes:
        group = outcome.case.group
        if not (outcome.passed and outcome.stopped) and shown.setdefault(group, 0) < limit:
            shown[group] += 1
            print(f"[{group}] {outcome.case.messages[-1].content!r} -> {outcome.text!r}", file=sys.stderr)
