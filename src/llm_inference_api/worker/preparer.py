"""Prepares requests for the engine: chat template, tokens, limits, sampler. Runs on threads of its own."""

import json
import math
import time
from dataclasses import dataclass, replace
from typing import Any, Protocol

from llm_inference_api.engine.backend import Mask, Sampler
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.grammar.tool_grammar import tool_constraint
from llm_inference_api.requests.constraint import Constraint, Schemas
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.requests.sizes import check_logprobs
from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.families.thoughts import thoughts_rules
from llm_inference_api.text.text_preparation import TextPreparation
from llm_inference_api.text.tokenizer import Tokenizer

_ANCHOR = "\U0010fffd"
"""A private-use character, which is tokenized into single bytes that do not merge with the text after it."""


class SamplerFactory(Protocol):
    """The part of a backend that the preparer needs."""

    def sampler(self, sampling: Sampling, prompt: list[int], *, ignore_eos: bool) -> Sampler:
        """Returns a new sampler for a sequence with this prompt of token ids."""

    def mask(self, constraint: Constraint) -> Mask:
        """Returns a new mask for one sequence. Raises InvalidFieldError if no text can match the constraint."""

    def json_schemas(self, schemas: Schemas, field: str) -> list[dict[str, Any]]:
        """Returns the schemas for use inside a grammar; see `constraint.Grammars.json_schemas`."""

    def masked_sampler(self, sampling: Sampling, prompt: list[int], mask: Mask) -> Sampler:
        """Returns a new sampler that only chooses tokens that the mask allows."""


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares requests for one model. One thread at a time may prepare requests with constraints."""

    tokenizer: Tokenizer
    template: ChatTemplate
    samplers: SamplerFactory
    preparation: TextPreparation
    context_length: int
    default_max_tokens: int

    def prepare(self, request: GenerationRequest, arrived_at: float | None = None) -> tuple[Sequence, ...]:
        """Returns the request's `n` sequences; the prompt is rendered and tokenized once.

        Args:
            request: The request.
            arrived_at: Monotonic time in seconds from which its time in the queue counts; None: now.

        Raises:
            InvalidFieldError: A field does not fit the model, or the constraint cannot be compiled.
            ContextLengthError: Prompt and answer exceed the context.
        """
        submitted_at = time.monotonic() if arrived_at is None else arrived_at
        self._check_logit_bias(request.sampling)
        tokens = self.tokens(request)
        max_tokens = self._max_tokens(request, len(tokens))
        if request.is_whole and request.sampling.logprobs is not None:
            check_logprobs(request.n, max_tokens, request.sampling.logprobs)
        constraint = self._constraint(request)
        sequences: list[Sequence] = []
        try:
            for index in range(request.n):
                mask = self.samplers.mask(constraint) if constraint else None
                sequence = Sequence(
                    request=request,
                    tokens=list(tokens),
                    max_tokens=max_tokens,
                    output=OutputText(request.stopping.stop, mask.matches if mask else None),
                    sampler=self._sampler(request, index, tokens, mask),
                    submitted_at=submitted_at,
                    index=index,
                )
                sequences.append(sequence)
        except BaseException:
            for sequence in sequences:
                sequence.sampler.close()
            raise
        return tuple(sequences)

    def _sampler(self, request: GenerationRequest, index: int, tokens: list[int], mask: Mask | None) -> Sampler:
        sampling = request.sampling_of(index)
        if mask is not None:
            return self.samplers.masked_sampler(sampling, tokens, mask)
        return self.samplers.sampler(sampling, tokens, ignore_eos=request.stopping.ignore_eos)

    def _constraint(self, request: GenerationRequest) -> Constraint | None:
        constraint = request.constraint
        if request.tools is not None:
            spell, write = self._terminal, self.samplers.json_schemas
            constraint = tool_constraint(request.tools, self.template.tool_format, spell, write, constraint)
        if constraint is None or isinstance(request.prompt, str):
            return constraint
        return replace(constraint, before=thoughts_rules(self._terminal, opened=self.template.opens_thoughts))

    def _terminal(self, marker: str) -> str:
        """Returns a marker as a Lark terminal: `<[id]>` if it is a single token, else a quoted string."""
        tokens = self.tokenizer.tokenize(marker, add_special=False, parse_special=True)
        return f"<[{tokens[0]}]>" if len(tokens) == 1 else json.dumps(marker)

    def tokens(self, request: GenerationRequest) -> list[int]:
        """Returns the token ids of the request's prompt.

        Raises:
            InvalidFieldError: The chat template rejects the messages, or the prompt has no tokens.
            ContextLengthError: The prompt is longer than the context.
        """
        if isinstance(request.prompt, str):
            tokens = self.tokenize(request.prompt, add_special=True)
        else:
            first, *rest = self.template.render(request.prompt, request.tools.tools if request.tools else ())
            tokens = self.tokenize(first, add_special=not self.template.is_own)
            for part in rest:
                tokens += self._continue(part)
        if not tokens:
            raise InvalidFieldError("prompt", "it has no tokens for this model; write at least one word")
        return tokens

    def _continue(self, part: str) -> list[int]:
        """Tokenizes a part as a continuation, without the leading space that some tokenizers add to a text."""
        return self.tokenize(_ANCHOR + part, add_special=False)[len(self.tokenize(_ANCHOR, add_special=False)) :]

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """Returns the token ids of a text.

        Raises:
            ContextLengthError: The text has more tokens than the context, by a lower bound: its bytes divided by
                those of the longest token.
        """
        prepare = self.preparation.apply if parse_special else self.preparation.apply_to_content
        text = prepare(text)
        at_least = math.ceil(len(text.encode()) / self.tokenizer.longest_piece)
        if at_least > self.context_length:
            # Tokenizing may take quadratic time, so reject the text before.
            raise ContextLengthError(at_least, 1, self.context_length, False)
        return self.tokenizer.tokenize(text, add_special=add_special, parse_special=parse_special)

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
