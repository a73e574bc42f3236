"""Prepares requests for the engine: chat template, tokens, limits, sampler. Runs on threads of its own."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from llm_inference_api.engine.backend import Mask, Sampler
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.prefix_cache import common_prefix
from llm_inference_api.engine.scores import GivenTokens
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.thinking_budget import BudgetedSampler
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.grammar.tool_grammar import framed, tool_constraint
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.constraint import ArgumentSchemas, Constraint, FollowedSchema
from llm_inference_api.requests.request import GenerationRequest, Sampling, TokenPrompt
from llm_inference_api.requests.sizes import check_logprobs
from llm_inference_api.requests.thinking import Thinking
from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.families.reading.answer_reader import answer_reader
from llm_inference_api.text.families.reading.reader import Reader
from llm_inference_api.text.families.switching import check_budget
from llm_inference_api.text.families.thoughts import Thoughts
from llm_inference_api.text.pairs import Pair, PairTokenizer
from llm_inference_api.text.text_preparation import TextPreparation
from llm_inference_api.text.tokenizer import NO_SPECIAL_TOKENS, SpecialTokens, Tokenizer

_ANCHOR = "\U0010fffd"
"""A private-use character, which is tokenized into single bytes that do not merge with the text after it."""


class SamplerFactory(Protocol):
    """The part of a backend that the preparer needs."""

    def sampler(self, sampling: Sampling, prompt: list[int], *, ignore_eos: bool) -> Sampler:
        """Returns a new sampler for a sequence with this prompt of token ids."""

    def mask(self, constraint: Constraint) -> Mask:
        """Returns a new mask for one sequence. Raises InvalidFieldError if no text can match the constraint."""

    def arguments(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:
        """Returns the schemas for use inside a grammar; see `constraint.Grammars.arguments`."""

    def terminal(self, text: str) -> str:
        """Returns a literal text for use inside a grammar; see `grammar.lark.Terminal`."""

    def text(self, token: int) -> bytes:
        """Returns the bytes that spell a token, control tokens included."""

    def masked_sampler(self, sampling: Sampling, prompt: list[int], mask: Mask) -> Sampler:
        """Returns a new sampler that only chooses tokens that the mask allows."""


class _PromptTokens(NamedTuple):
    """A tokenized prompt."""

    tokens: list[int]
    thoughts: Thoughts
    """Where it ends among the thoughts of the answer; `AFTER` for a text, which has none."""
    settled: int = 0
    """Number of leading tokens that the next request of a conversation has too; 0: unknown."""


@dataclass(frozen=True, slots=True)
class Preparer:
    """Prepares requests for one model. One thread at a time may prepare requests with constraints."""

    tokenizer: Tokenizer
    template: ChatTemplate
    samplers: SamplerFactory
    preparation: TextPreparation
    context_length: int
    default_max_tokens: int
    special: SpecialTokens = NO_SPECIAL_TOKENS
    settles: bool = False
    """Whether sequences say how much of their prompt the next request of a conversation has too."""

    def prepare(self, request: GenerationRequest, arrived_at: float | None = None) -> tuple[Sequence, ...]:
        """Returns the request's `n` sequences; the prompt is rendered and tokenized once.

        Args:
            request: The request.
            arrived_at: Monotonic time in seconds from which its time in the queue counts; None: now.

        Raises:
            InvalidFieldError: A field does not fit the model, or the constraint cannot be compiled.
            ContextLengthError: The prompt leaves no room in the context.
        """
        submitted_at = time.monotonic() if arrived_at is None else arrived_at
        request = replace(request, sampling=self._with_token_biases(request.sampling))
        tokens, thoughts, settled = self._prompt(request)
        max_tokens = self._max_tokens(request, len(tokens))
        if request.is_whole and request.sampling.logprobs is not None:
            prompt = len(tokens) if request.echoes else 0
            check_logprobs(request.n, prompt + max_tokens, request.sampling.logprobs)
        constraint = self._constraint(request, thoughts)
        form = self._template_of(request).form
        sequences: list[Sequence] = []
        try:
            for index in range(request.n):
                mask = self.samplers.mask(constraint) if constraint else None
                output = OutputText(
                    request.stopping.stop,
                    mask.matches if mask else None,
                    answer_reader(form, request.tools, thoughts),
                )
                sequence = Sequence(
                    request=request,
                    tokens=list(tokens),
                    max_tokens=max_tokens,
                    output=output,
                    sampler=self._within_budget(self._sampler(request, index, tokens, mask), output, request.thinking),
                    submitted_at=submitted_at,
                    index=index,
                    settled=settled,
                    ignored=constraint.ignored if constraint else (),
                    given=self._given(request, tokens, max_tokens),
                    echo=self._echo(request) if request.echoes else "",
                )
                sequences.append(sequence)
        except BaseException:
            for sequence in sequences:
                sequence.sampler.close()
            raise
        return tuple(sequences)

    @staticmethod
    def _given(request: GenerationRequest, tokens: list[int], max_tokens: int) -> GivenTokens | None:
        """Returns the tokens of the prompt whose log probabilities are read; None if it is an ordinary prompt."""
        top = request.sampling.logprobs
        if request.echoes and top is not None:
            return GivenTokens({at: (token,) for at, token in enumerate(tokens[1:])}, top)
        return GivenTokens({}) if request.echoes or not max_tokens else None

    def _echo(self, request: GenerationRequest) -> str:
        if isinstance(request.prompt, TokenPrompt):
            return b"".join(map(self.samplers.text, request.prompt.ids)).decode("utf-8", "replace")
        assert isinstance(request.prompt, str)
        return request.prompt

    def _sampler(self, request: GenerationRequest, index: int, tokens: list[int], mask: Mask | None) -> Sampler:
        sampling = request.sampling_of(index)
        if mask is not None:
            return self.samplers.masked_sampler(sampling, tokens, mask)
        return self.samplers.sampler(sampling, tokens, ignore_eos=request.stopping.ignore_eos)

    def _within_budget(self, sampler: Sampler, output: OutputText, thinking: Thinking) -> Sampler:
        budget = thinking.budget
        return sampler if budget is None else BudgetedSampler(sampler, output, budget, self._continue)

    def _constraint(self, request: GenerationRequest, thoughts: Thoughts) -> Constraint | None:
        constraint, form = request.constraint, self._template_of(request).form
        if request.tools is not None:
            spell, write = self.samplers.terminal, self.samplers.arguments
            constraint = tool_constraint(request.tools, form, spell, write, constraint)
        return framed(constraint, form, thoughts, self.samplers.terminal) if constraint else None

    def reader(self, request: GenerationRequest) -> Reader:
        """Returns the reader of an answer to a chat request. Raises InvalidFieldError as `tokens`."""
        assert not isinstance(request.prompt, str | TokenPrompt)
        template = self._template_of(request)
        tools = request.tools.tools if request.tools else ()
        prompt = template.render(request.prompt, tools, request.ending, request.thinking)
        return answer_reader(template.form, request.tools, prompt.thoughts)

    def _template_of(self, request: GenerationRequest) -> ChatTemplate:
        return self.template.chosen(has_tools=request.tools is not None)

    def tokens(self, request: GenerationRequest) -> list[int]:
        """Returns the token ids of the request's prompt.

        Raises:
            InvalidFieldError: The chat template rejects the messages, or the prompt has no tokens.
            ContextLengthError: The prompt is longer than the context.
        """
        return self._prompt(request).tokens

    def _prompt(self, request: GenerationRequest) -> _PromptTokens:
        try:
            prompt = self._tokens(request)
        except ContextLengthError as error:
            raise ContextLengthError(
                error.prompt_tokens, error.context_length, error.exact, request.prompt_field
            ) from error
        if not prompt.tokens:
            raise InvalidFieldError(request.prompt_field, "has no tokens for this model; write at least one word")
        return prompt

    def _tokens(self, request: GenerationRequest) -> _PromptTokens:
        if isinstance(request.prompt, TokenPrompt):
            return _PromptTokens(self._known_tokens(request), Thoughts.AFTER)
        if isinstance(request.prompt, str):
            return _PromptTokens(self._text_tokens(request.prompt, request.suffix), Thoughts.AFTER)
        return self._chat(request.prompt, request)

    def _chat(self, messages: tuple[Message, ...], request: GenerationRequest) -> _PromptTokens:
        template, tools = self._template_of(request), request.tools.tools if request.tools else ()
        check_budget(request.thinking, template.form)
        chat = template.render(messages, tools, request.ending, request.thinking)
        tokens = self._begun(chat.parts)
        after = self._around[1] if self.template.is_own else []
        if after and not chat.continues and tokens[-len(after) :] != after:
            tokens = tokens + after
        return _PromptTokens(tokens, chat.thoughts, self._settled(messages, request, tokens) if self.settles else 0)

    def _settled(self, messages: tuple[Message, ...], request: GenerationRequest, tokens: list[int]) -> int:
        """Returns how many tokens of a chat's prompt stand before what a template begins the answer with.

        The next turn may have something else there: templates leave the thoughts of earlier answers out, and their
        beginning too.
        """
        template, tools = self._template_of(request), request.tools.tools if request.tools else ()
        try:
            closed = template.render(messages, tools, Ending.CLOSED, request.thinking)
        except InvalidFieldError:
            return 0
        return common_prefix(self._begun(closed.parts), tokens, len(tokens) - 1)

    def tokens_around(
        self, request: GenerationRequest, mark: str, *, closes_thoughts: bool
    ) -> tuple[list[int], list[int]]:
        """Returns the tokens of a chat's prompt before and after the end of its last message.

        Args:
            request: The request of a chat.
            mark: A text that the messages do not have.
            closes_thoughts: Whether the prompt ends behind the thoughts of the answer.

        Raises:
            InvalidFieldError: The chat template rejects the messages, or does not write the last one as it is.
            ContextLengthError: The prompt is longer than the context.
        """
        assert not isinstance(request.prompt, str | TokenPrompt)
        *messages, last = request.prompt
        marked = (*messages, replace(last, content=last.content + mark))
        template = self._template_of(request)
        chat = template.render(marked, request.tools.tools if request.tools else (), request.ending, request.thinking)
        at = [index for index, part in enumerate(chat.parts) if mark in part]
        if len(at) != 1 or chat.parts[at[0]].count(mark) != 1:
            raise InvalidFieldError("messages", "the model's chat template does not write the last message once")
        before, _, after = chat.parts[at[0]].partition(mark)
        closing = template.form.thoughts[0].closing if closes_thoughts and chat.thoughts.are_open else ""
        head = self._begun([*chat.parts[: at[0]], before])
        tail = [*self._continue(after), *(token for part in chat.parts[at[0] + 1 :] for token in self._continue(part))]
        return head, [*tail, *self._continue(closing)]

    def _begun(self, parts: list[str]) -> list[int]:
        """Returns the tokens of the first parts of a rendered chat."""
        tokens = self.tokenize_parts(parts, add_special=not self.template.is_own)
        before = self._around[0] if self.template.is_own else []
        return tokens if tokens[: len(before)] == before else before + tokens

    def continued(self, text: str, field: str) -> list[int]:
        """Returns the tokens of a text behind others, with control tokens as plain text.

        Raises ContextLengthError, naming the field, if the text is longer than the context.
        """
        try:
            return self._continue(text, parse_special=False)
        except ContextLengthError as error:
            raise ContextLengthError(error.prompt_tokens, error.context_length, error.exact, field) from error

    def known(self, tokens: tuple[int, ...], field: str) -> list[int]:
        """Returns the tokens. Raises InvalidFieldError, naming the field, if the vocabulary lacks one."""
        for token in tokens:
            if not 0 <= token < self.tokenizer.size:
                problem = f"token {token} is not in the model's vocabulary of {self.tokenizer.size}"
                raise InvalidFieldError(field, problem)
        return list(tokens)

    @property
    def _around(self) -> tuple[list[int], list[int]]:
        """The tokens that the model is configured to put before and after a text, such as BOS and EOS."""
        text = self.tokenizer.tokenize("a", add_special=False, parse_special=False)
        whole = self.tokenizer.tokenize("a", add_special=True, parse_special=False)
        start = next((at for at in range(len(whole)) if whole[at : at + len(text)] == text), 0)
        return whole[:start], whole[start + len(text) :]

    def _known_tokens(self, request: GenerationRequest) -> list[int]:
        if request.suffix:
            raise InvalidFieldError("suffix", "needs a prompt of text, not of token ids")
        assert isinstance(request.prompt, TokenPrompt)
        return self.known(request.prompt.ids, request.prompt_field)

    def _text_tokens(self, prompt: str, suffix: str) -> list[int]:
        """Returns the tokens of a raw prompt; with a suffix, those that ask for the text between the two."""
        if not suffix:
            # No text at all asks for the beginning of one.
            return self.tokenize(prompt, add_special=True) or ([] if prompt else list(self.special.start))
        if self.special.infill is None:
            raise InvalidFieldError("suffix", "this model has no tokens for filling in the middle; leave it out")
        before, after, middle = self.special.infill
        head = self.tokenize("", add_special=True)
        ends = (self._continue(text, parse_special=False) for text in (prompt, suffix))
        return [*head, before, *next(ends), after, *next(ends), middle]

    def tokenize_parts(self, parts: Iterable[str], *, add_special: bool) -> list[int]:
        """Returns the tokens of a prompt in parts, see `Escaping.split`. Raises as `tokenize`."""
        first, *rest = parts
        tokens = self.tokenize(first, add_special=add_special)
        for part in rest:
            tokens += self._continue(part)
        return tokens

    def pair(self, tokenizer: PairTokenizer, query: str, document: str) -> Pair:
        """Returns the tokens of two texts, joined by the model's tokenizer. Raises as `tokenize`."""
        return tokenizer.pair(*(self._prepared(text, self.preparation.apply_to_content) for text in (query, document)))

    def _continue(self, part: str, *, parse_special: bool = True) -> list[int]:
        """Tokenizes a part as a continuation, without the leading space that some tokenizers add to a text."""
        tokens = self.tokenize(_ANCHOR + part, add_special=False, parse_special=parse_special)
        return tokens[len(self.tokenize(_ANCHOR, add_special=False)) :]

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True, field: str = "prompt") -> list[int]:
        """Returns the token ids of a text. Errors name the `field` that has it.

        BOS and EOS that the model is configured for are added where `add_special`, unless the text spells them itself.

        Raises:
            ContextLengthError: The text has more tokens than the context, by a lower bound: its bytes divided by
                those of the longest token.
        """
        prepare = self.preparation.apply if parse_special else self.preparation.apply_to_content
        text = self._prepared(text, prepare, field)
        tokens = self.tokenizer.tokenize(text, add_special=add_special, parse_special=parse_special)
        return self._once_around(tokens) if add_special and parse_special else tokens

    def _once_around(self, tokens: list[int]) -> list[int]:
        """Returns the tokens with BOS and EOS once: a text may spell them, as prompts that are copied do."""
        before, after = self._around
        if before and tokens[: 2 * len(before)] == before * 2:
            tokens = tokens[len(before) :]
        if after and tokens[-2 * len(after) :] == after * 2:
            tokens = tokens[: -len(after)]
        return tokens

    def _prepared(self, text: str, prepare: Callable[[str], str], field: str = "prompt") -> str:
        """Returns a text as the tokenizer takes it. Raises ContextLengthError as `tokenize`."""
        text = prepare(text)
        at_least = math.ceil(len(text.encode()) / self.tokenizer.longest_piece)
        if at_least > self.context_length:
            # Tokenizing may take quadratic time, so reject the text before.
            raise ContextLengthError(at_least, self.context_length, False, field)
        return text

    def _max_tokens(self, request: GenerationRequest, prompt_tokens: int) -> int:
        room = self.context_length - prompt_tokens
        asked = request.stopping.max_tokens
        if room < (0 if asked == 0 else 1):
            raise ContextLengthError(prompt_tokens, self.context_length, True, request.prompt_field)
        return min(self.default_max_tokens if asked is None else asked, room)

    def _with_token_biases(self, sampling: Sampling) -> Sampling:
        """Returns the sampling with biases of tokens alone; those that are given by id win over those of texts."""
        for token in sampling.logit_bias:
            if not 0 <= token < self.tokenizer.size:
                problem = f"token {token} is not in the model's vocabulary of {self.tokenizer.size}"
                raise InvalidFieldError("logit_bias", problem)
        found: dict[int, float] = {}
        for text, bias in sampling.logit_bias_texts.items():
            found |= dict.fromkeys(self.tokenize(text, add_special=False, parse_special=False), bias)
        return replace(sampling, logit_bias={**found, **sampling.logit_bias}, logit_bias_texts={})
