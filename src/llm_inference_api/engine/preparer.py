"""Turns a request into a sequence: template, tokens, limits, sampler. Runs beside the engine, never on its thread."""

import json
import math
import time
from typing import Protocol

from llm_inference_api.engine.backend import Mask, Sampler
from llm_inference_api.engine.chat_template import ChatTemplate
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.request import Constraint, GenerationRequest, Sampling
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.tool_grammar import tool_constraint
from llm_inference_api.errors import ContextLengthError, InvalidFieldError


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

    def mask(self, constraint: Constraint) -> Mask:
        """Returns a new mask for an answer. Raises InvalidFieldError where no text can match the constraint."""

    def masked_sampler(self, sampling: Sampling, prompt: list[int], mask: Mask) -> Sampler:
        """Returns a new sampler that chooses among the mask's tokens only."""


class Preparer:
    """Prepares requests for one model."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        samplers: SamplerFactory,
        context_length: int,
        default_max_tokens: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._samplers = samplers
        self._context_length = context_length
        self._default_max_tokens = default_max_tokens

    def prepare(self, request: GenerationRequest) -> Sequence:
        """Returns the sequence that computes the request.

        Raises InvalidFieldError and ContextLengthError where the request does not fit the model.
        """
        submitted_at = time.monotonic()
        self._check_logit_bias(request.sampling)
        tokens = self.tokens(request)
        max_tokens = self._max_tokens(request, len(tokens))
        constraint = request.constraint or self._tool_constraint(request)
        mask = self._samplers.mask(constraint) if constraint else None
        return Sequence(
            request=request,
            tokens=tokens,
            max_tokens=max_tokens,
            output=OutputText(request.stopping.stop, mask.matches if mask else None),
            sampler=self._sampler(request, tokens, mask),
            submitted_at=submitted_at,
        )

    def _sampler(self, request: GenerationRequest, tokens: list[int], mask: Mask | None) -> Sampler:
        if mask is not None:
            return self._samplers.masked_sampler(request.sampling, tokens, mask)
        return self._samplers.sampler(request.sampling, tokens, ignore_eos=request.stopping.ignore_eos)

    def _tool_constraint(self, request: GenerationRequest) -> Constraint | None:
        if request.tools is None:
            return None
        template = self._template
        opens = template.opens_thoughts
        return tool_constraint(request.tools, template.tool_format, self._terminal, after_thoughts=opens)

    def _terminal(self, marker: str) -> str:
        """Returns how llguidance's grammars spell a marker: as its token where it is one, else as its text."""
        tokens = self._tokenizer.tokenize(marker, add_special=False, parse_special=True)
        return f"<[{tokens[0]}]>" if len(tokens) == 1 else json.dumps(marker)

    def tokens(self, request: GenerationRequest) -> list[int]:
        """Returns the tokens of the request's prompt. Raises InvalidFieldError and ContextLengthError."""
        if isinstance(request.prompt, str):
            tokens = self.tokenize(request.prompt, add_special=True)
        else:
            parts = self._template.render(request.prompt, request.tools.tools if request.tools else ())
            tokens = self.tokenize(parts[0], add_special=not self._template.is_own)
            for part in parts[1:]:
                tokens += self.tokenize(part, add_special=False)
        if not tokens:
            raise InvalidFieldError("prompt", "it has no tokens for this model; write at least one word")
        return tokens

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """Returns the tokens of a text. Raises ContextLengthError where the context surely holds fewer."""
        at_least = math.ceil(len(text.encode()) / self._tokenizer.longest_piece)
        if at_least > self._context_length:
            # Tokenising may take quadratic time: text that cannot fit is not worth it.
            raise ContextLengthError(at_least, 1, self._context_length, False)
        return self._tokenizer.tokenize(text, add_special=add_special, parse_special=parse_special)

    def _max_tokens(self, request: GenerationRequest, prompt_tokens: int) -> int:
        room = self._context_length - prompt_tokens
        asked = request.stopping.max_tokens
        if room < 1 or (asked is not None and asked > room):
            raise ContextLengthError(prompt_tokens, asked or 1, self._context_length)
        return min(self._default_max_tokens, room) if asked is None else asked

    def _check_logit_bias(self, sampling: Sampling) -> None:
        for token in sampling.logit_bias:
            if not 0 <= token < self._tokenizer.size:
                problem = f"token {token} is not in the model's vocabulary of {self._tokenizer.size}"
                raise InvalidFieldError("logit_bias", problem)
