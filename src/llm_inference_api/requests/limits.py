"""Ranges and limits of request fields, common to all wires. Errors name the field."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.request import Sampling, Stopping, folded_seed
from llm_inference_api.requests.sizes import check_count

MAX_STOP = 4
MAX_STOP_CHARACTERS = 64
MAX_LOGIT_BIAS = 300
MAX_TOP_LOGPROBS = 20
MAX_BREAKERS = 8
MAX_BREAKER_BYTES = 40
"""llama.cpp cuts longer ones off (llama_sampler_init_dry)."""
MAX_ANSWERS = 128
"""Maximum number of answers of a request, whatever the settings."""
NO_LIMIT = -1
"""Value of `max_tokens` that leaves the limit to the service, where the wire's numbers have a sign."""

_LONGEST_NUMBER = 50
"""Characters of a number in an error message."""

Given = Mapping[str, Any]
"""The fields that a request sets, by their names in the typed API."""


def shown(number: float) -> str:
    """Returns a number for an error message: an integer exactly, but not a thousand digits of it."""
    text = str(number) if isinstance(number, int) else f"{number:.10g}"
    return text if len(text) <= _LONGEST_NUMBER else f"{text[:_LONGEST_NUMBER]}…"


class Range(NamedTuple):
    """Allowed range of a field; closed, unless `low_is_open`."""

    low: float
    high: float
    low_is_open: bool = False

    def check(self, field: str, value: float) -> None:
        """Raises InvalidFieldError if the value is out of range or not finite."""
        is_inside = self.low < value <= self.high if self.low_is_open else self.low <= value <= self.high
        if not is_inside:  # As NaN is not, nor an integer that no float holds.
            low = f"above {shown(self.low)}" if self.low_is_open else shown(self.low)
            raise InvalidFieldError(field, f"must be a number from {low} to {shown(self.high)}, not {shown(value)}")


RANGES = {
    "temperature": Range(0, 2),
    "top_p": Range(0, 1),
    "top_k": Range(0, 2**31 - 1),
    "min_p": Range(0, 1),
    "typical_p": Range(0, 1),
    "seed": Range(-(2**63), 2**64 - 1),
    "presence_penalty": Range(-2, 2),
    "frequency_penalty": Range(-2, 2),
    "repetition_penalty": Range(0, 2, low_is_open=True),
    "top_logprobs": Range(0, MAX_TOP_LOGPROBS),
    "top_n_sigma": Range(-1, 100),
    "min_keep": Range(0, 2**31 - 1),
    "xtc_probability": Range(0, 1),
    "xtc_threshold": Range(0, 1),
    "dynatemp_range": Range(0, 2),
    "dynatemp_exponent": Range(0, 10),
    "dry_multiplier": Range(0, 100),
    "dry_base": Range(1, 10),
    "dry_allowed_length": Range(0, 2**31 - 1),
    "dry_penalty_last_n": Range(NO_LIMIT, 2**31 - 1),
    "mirostat": Range(0, 2),
    "mirostat_tau": Range(0, 100),
    "mirostat_eta": Range(0, 1),
}
BIAS_RANGE = Range(-100, 100)


@dataclass(frozen=True, slots=True)
class Limits:
    """Default values of request fields, and the service's limits."""

    temperature: float
    top_p: float
    max_tokens: int
    answers: int = 1
    """Maximum number of answers of a request."""
    seed: int | None = None
    """None: each request without a seed gets a random one."""

    def sampling(self, given: Given) -> Sampling:
        """Returns the sampling parameters. Raises InvalidFieldError if a field is out of range."""
        for field, allowed in RANGES.items():
            if field in given:
                allowed.check(field, given[field])
        check_count("logit_bias", sum(len(given.get(field, ())) for field in _BIASES), MAX_LOGIT_BIAS, "entries")
        if given.get("top_logprobs") and not given.get("logprobs"):
            raise InvalidFieldError("top_logprobs", "needs logprobs to be true")
        _check_mirostat(given)
        return Sampling(
            **_extra(given),
            seed=folded_seed(given.get("seed", self.seed)),
            temperature=given.get("temperature", self.temperature),
            top_p=given.get("top_p", self.top_p),
            top_k=given.get("top_k", 0),
            min_p=given.get("min_p", 0.0),
            typical_p=given.get("typical_p", 1.0),
            presence_penalty=given.get("presence_penalty", 0.0),
            frequency_penalty=given.get("frequency_penalty", 0.0),
            repetition_penalty=given.get("repetition_penalty", 1.0),
            logit_bias=_biases("logit_bias", given.get("logit_bias", {})),
            logit_bias_texts=_biases("logit_bias_texts", given.get("logit_bias_texts", {})),
            logprobs=given.get("top_logprobs", 0) if given.get("logprobs") else None,
        )

    def stopping(self, given: Given, *, may_be_none: bool = False) -> Stopping:
        """Returns the stop conditions; `max_tokens` may be 0 where no answer at all makes sense.

        Raises InvalidFieldError if a field is out of range.
        """
        check_count("stop", len(given.get("stop", ())), MAX_STOP, "texts")
        stop = tuple(given.get("stop", ()))
        for index, text in enumerate(stop):
            if not 1 <= len(text) <= MAX_STOP_CHARACTERS:
                problem = f"must have 1 to {MAX_STOP_CHARACTERS} characters, not {len(text)}"
                raise InvalidFieldError(f"stop[{index}]", problem)
        return Stopping(
            self._max_tokens(given.get("max_tokens"), int(not may_be_none)), stop, given.get("ignore_eos", False)
        )

    def _max_tokens(self, asked: int | None, least: int) -> int | None:
        """Returns what the request asks for, lowered to the service's limit. Raises InvalidFieldError if it is less."""
        if asked is None:
            return None
        if asked == NO_LIMIT:
            return self.max_tokens
        if asked < least:
            raise InvalidFieldError("max_tokens", f"must be at least {least}, not {shown(asked)}")
        return min(asked, self.max_tokens)

    def count(self, given: Given, prompts: int = 1) -> int:
        """Returns the number of answers to each of the prompts.

        Raises InvalidFieldError if it is out of range.
        """
        n = given.get("n", 1)
        Range(1, self.answers).check("n", n)
        if n * prompts > MAX_ANSWERS:
            raise InvalidFieldError("prompt", f"{prompts} prompts with n of {n} exceed {MAX_ANSWERS} answers a request")
        return int(n)


def new_id(kind: str) -> str:
    """Returns a new unique id of the form `<kind>-<32 hex digits>`."""
    return f"{kind}-{uuid.uuid4().hex}"


_BIASES = ("logit_bias", "logit_bias_texts")
EXTRA = (
    "top_n_sigma",
    "min_keep",
    "xtc_probability",
    "xtc_threshold",
    "dynatemp_range",
    "dynatemp_exponent",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "dry_penalty_last_n",
    "mirostat",
    "mirostat_tau",
    "mirostat_eta",
)
"""Sampling parameters whose defaults are those of `Sampling`."""
_OFF: Mapping[str, float] = {
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": 0.0,
    "min_keep": 0,
    "xtc_probability": 0.0,
    "dynatemp_range": 0.0,
}
"""Parameters that mirostat takes the place of, with the values that do nothing."""

Key = TypeVar("Key", int, str)


def _extra(given: Given) -> dict[str, Any]:
    extra = {name: given[name] for name in EXTRA if name in given}
    if breakers := tuple(given.get("dry_sequence_breakers", ())):
        check_count("dry_sequence_breakers", len(breakers), MAX_BREAKERS, "texts")
        for index, text in enumerate(breakers):
            if not 1 <= len(text.encode()) <= MAX_BREAKER_BYTES or "\0" in text:
                problem = f"must have 1 to {MAX_BREAKER_BYTES} bytes, none of them 0"
                raise InvalidFieldError(f"dry_sequence_breakers[{index}]", problem)
        extra["dry_sequence_breakers"] = breakers
    return extra


def _check_mirostat(given: Given) -> None:
    """Raises InvalidFieldError for a parameter that has no effect beside mirostat."""
    if not given.get("mirostat"):
        return
    for field, off in _OFF.items():
        if given.get(field, off) not in (off, -1 if field == "top_n_sigma" else off):
            raise InvalidFieldError(field, "has no effect with mirostat; leave one of them out")


def _biases(field: str, biases: Mapping[Key, float]) -> dict[Key, float]:
    for key, value in biases.items():
        if not key and isinstance(key, str):
            raise InvalidFieldError(field, "has an empty text")
        BIAS_RANGE.check(f"{field}[{str(key)[:50]}]", value)
    return dict(biases)
