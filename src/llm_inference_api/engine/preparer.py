"""Turns a request into a sequence: template, tokens, limits, sampler. Runs beside the engine, never on its thread."""

import math
import time
from dataclasses import dataclass
from typing import Protocol

from llm_inference_api.engine.backend import Sampler
from llm_inference_api.engine.chat_template import ChatTemplate
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.request import GenerationRequest, Sampling
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.text_preparation import TextPreparation
from llm_inference_api.errors import ContextLengthError, InvalidFieldError

_ANCHOR = "\U0010fffd"
"""Of a private plane: tokens of single bytes, which join with nothing that follows."""


class Tokenizer(Protocol):
    """What preparing needs of a vocabulary."""

    size: int
    longest_piece: int

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Returns the tokens of the text."""


class SamplerFactory(Protocol):
    """What preparing needs of a backend."""

    def sampler(self, sampling: Sampling, prompt: list[int], *, ignore_eos: bool) -> Sampler:
        """Returns a new sampler for a sequence with this prompt."""


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares requests for one model."""

    tokenizer: Tokenizer
    template: ChatTemplate
    samplers: SamplerFactory
    preparation: TextPreparation
    context_length: int
    default_max_tokens: int

    def prepare(self, request: GenerationRequest) -> Sequence:
        """Returns the sequence that computes the request.

        Raises InvalidFieldError and ContextLengthError where the request does not fit the model.
        """
        submitted_at = time.monotonic()
        self._check_logit_bias(request.sampling)
        tokens = self._tokens(request)
        max_tokens = self._max_tokens(request, len(tokens))
        stopping = request.stopping
        return Sequence(
            request=request,
            tokens=tokens,
            max_tokens=max_tokens,
            output=OutputText(stopping.stop),
            sampler=self.samplers.sampler(request.sampling, tokens, ignore_eos=stopping.ignore_eos),
            submitted_at=submitted_at,
        )

    def _tokens(self, request: GenerationRequest) -> list[int]:
        if isinstance(request.prompt, str):
            tokens = self._tokenize(request.prompt, add_special=True)
        else:
            first, *rest = self.template.render(request.prompt)
            tokens = self._tokenize(first, add_special=not self.template.is_own)
            for part in rest:
                tokens += self._continue(part)
        if not tokens:
            raise InvalidFieldError("prompt", "it has no tokens for this model; write at least one word")
        return tokens

    def _continue(self, part: str) -> list[int]:
        """Returns the tokens of a part as they are inside a text, without the space that some tokenizers begin with."""
        return self._tokenize(_ANCHOR + part, add_special=False)[len(self._tokenize(_ANCHOR, add_special=False)) :]

    def _tokenize(self, text: str, *, add_special: bool) -> list[int]:
        text = self.preparation.apply(text, starts_with_special=self.template.begins_with_control(text))
        at_least = math.ceil(len(text.encode()) / self.tokenizer.longest_piece)
        if at_least > self.context_length:
            # Tokenising may take quadratic time: text that cannot fit is not worth it.
            raise ContextLengthError(at_least, 1, self.context_length, False)
        return self.tokenizer.tokenize(text, add_special=add_special, parse_special=True)

    def _max_tokens(self, request: GenerationRequest, prompt_tokens: int) -> int:
        room = self.context_length - prompt_tokens
        asked = request.stopping.max_tokens
        if room < 1 or (asked is not None and asked > room):
            raise ContextLengthError(prompt_tokens, asked or 1, self.context_length)
        return min(self.default_max_tokens, room) if asked is None else asked

    def _check_logit_bias(self, sampling: Sampling) -> None:
        for token in sampling.logit_bias:
            if not 0 <= token < self.tokenizer.size:
                problem = f"token {token} is not in the model's vocabulary of {self.tokenizer.size}"
                raise InvalidFieldError("logit_bias", problem)
