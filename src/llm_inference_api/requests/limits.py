"""Ranges and limits of request fields, common to all wires. Errors name the field."""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.request import MAX_SEED, Sampling, Stopping, random_seed
from llm_inference_api.requests.sizes import check_count

MAX_STOP = 4
MAX_STOP_CHARACTERS = 64
MAX_LOGIT_BIAS = 300
MAX_TOP_LOGPROBS = 20

Given = Mapping[str, Any]
"""The fields that a request sets, by their names in the typed API."""


class Range(NamedTuple):
    """Allowed range of a field; closed, unless `low_is_open`."""

    low: float
    high: float
    low_is_open: bool = False

    def check(self, field: str, value: float) -> None:
        """Raises InvalidFieldError if the value is out of range or not finite."""
        too_low = value <= self.low if self.low_is_open else value < self.low
        if not math.isfinite(value) or too_low or value > self.high:
            low = f"above {self.low:g}" if self.low_is_open else f"{self.low:.10g}"
            raise InvalidFieldError(field, f"must be a number from {low} to {self.high:.10g}, not {value:.10g}")


RANGES = {
    "temperature": Range(0, 2),
    "top_p": Range(0, 1, low_is_open=True),
    "top_k": Range(0, 2**31 - 1),
    "min_p": Range(0, 1),
    "typical_p": Range(0, 1, low_is_open=True),
    "seed": Range(0, MAX_SEED),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "repetition_penalty": Range(0, 2, low_is_open=True),
    "top_logprobs": Range(0, MAX_TOP_LOGPROBS),
}
BIAS_RANGE = Range(-100, 100)


@dataclass(frozen=True, slots=True)
class Limits:
    """Default values of request fields, and the service's limits."""

    temperature: float
    top_p: float
    max_tokens: int
    answers: int = 1
    """Maximum `n` of a request."""

    def sampling(self, given: Given) -> Sampling:
        """Returns the sampling parameters. Raises InvalidFieldError if a field is out of range."""
        for field, allowed in RANGES.items():
            if field in given:
                allowed.check(field, given[field])
        if given.get("top_logprobs") and not given.get("logprobs"):
            raise InvalidFieldError("top_logprobs", "needs logprobs to be true")
        return Sampling(
            seed=given["seed"] if "seed" in given else random_seed(),
            temperature=given.get("temperature", self.temperature),
            top_p=given.get("top_p", self.top_p),
            top_k=given.get("top_k", 0),
            min_p=given.get("min_p", 0.0),
            typical_p=given.get("typical_p", 1.0),
            presence_penalty=given.get("presence_penalty", 0.0),
            frequency_penalty=given.get("frequency_penalty", 0.0),
            repetition_penalty=given.get("repetition_penalty", 1.0),
            logit_bias=_logit_bias(given.get("logit_bias", {})),
            logprobs=given.get("top_logprobs", 0) if given.get("logprobs") else None,
        )

    def stopping(self, given: Given) -> Stopping:
        """Returns the stop conditions. Raises InvalidFieldError if a field is out of range."""
        check_count("stop", len(given.get("stop", ())), MAX_STOP, "texts")
        stop = tuple(given.get("stop", ()))
        for index, text in enumerate(stop):
            if not 1 <= len(text) <= MAX_STOP_CHARACTERS:
                problem = f"must have 1 to {MAX_STOP_CHARACTERS} characters, not {len(text)}"
                raise InvalidFieldError(f"stop[{index}]", problem)
        if "max_tokens" in given:
            Range(1, self.max_tokens).check("max_tokens", given["max_tokens"])
        return Stopping(given.get("max_tokens"), stop, given.get("ignore_eos", False))

    def count(self, given: Given) -> int:
        """Returns the number of answers. Raises InvalidFieldError if it is out of range."""
        if "n" in given:
            Range(1, self.answers).check("n", given["n"])
        return int(given.get("n", 1))


def new_id(kind: str) -> str:
    """Returns a new unique id of the form `<kind>-<32 hex digits>`."""
    return f"{kind}-{uuid.uuid4().hex}"


def _logit_bias(bias: Mapping[int, float]) -> dict[int, float]:
    check_count("logit_bias", len(bias), MAX_LOGIT_BIAS, "tokens")
    for token, value in bias.items():
        BIAS_RANGE.check(f"logit_bias[{token}]", value)
    return dict(bias)
