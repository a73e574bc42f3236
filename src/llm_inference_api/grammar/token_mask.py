"""Constraints compiled with llguidance, and the token masks that they give.

llguidance limits most of its own work; this module limits the rest. A constraint that exceeds a limit is rejected.
Masks are computed on a thread pool, so that a slow one does not delay the steps of other sequences.
"""

import json
import os
import re
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer

from llm_inference_api.errors import CostlyFieldError, InvalidFieldError
from llm_inference_api.grammar.json_schema import JsonSchemas
from llm_inference_api.grammar.reasons import COSTLY, reason
from llm_inference_api.grammar.repeated_call import RepeatedCall
from llm_inference_api.grammar.special_tokens import SpecialTokenSplitter
from llm_inference_api.grammar.trial import TooCostlyError, Trial
from llm_inference_api.grammar.trial_process import LIMITS
from llm_inference_api.grammar.unfollowable import LARGEST_MULTIPLE, MOST_PATTERNS, ends_with_escape, states_of_multiple
from llm_inference_api.requests.constraint import ArgumentSchemas, Constraint, FollowedSchema, Language

TokenIds = npt.NDArray[np.int32]

_MULTIPLE = re.compile(r'"multipleOf"\s*:\s*([-+.0-9eE]{1,40})')
_EMBEDDED = re.compile(r"(?:^|%json)\s*(?=\{)")
"""Start of a schema: the whole constraint, or a `%json` in a grammar."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_MOST_SECONDS = 2.0
"""Processor time to compile the schemas of all tools of a request one by one, also without some of their keywords."""


_executor = ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)) // 2), "mask")
"""Computes masks concurrently with forwards; llguidance releases the GIL."""


class TokenMask:
    """An `engine.backend.Mask`: the tokens that a constraint allows next in one sequence."""

    def __init__(
        self, matcher: LLMatcher, tokenizer: LLTokenizer, special: SpecialTokenSplitter, constraint: Constraint
    ) -> None:
        """Computes the first mask.

        Args:
            matcher: The compiled constraint; owned by this mask.
            tokenizer: The model's tokenizer.
            special: The special tokens of its vocabulary.
            constraint: The constraint.

        Raises:
            InvalidFieldError: No text can match.
        """
        self._matcher = matcher
        self._field = constraint.field
        self._read = _Reader(matcher, special)
        self._repeated: RepeatedCall | None = None
        if constraint.closing is not None:
            closing = special.of_terminals(constraint.closing)
            self._repeated = RepeatedCall(matcher, tokenizer, closing, constraint.varying)
        self._bits = np.zeros((tokenizer.vocab_size + 31) // 32, np.int32)
        self._next: Future[TokenIds] = Future()
        self._next.set_result(self._compute())

    def is_ready(self) -> bool:
        """See `Mask.is_ready`."""
        return self._next.done()

    def allowed(self) -> TokenIds:
        """Returns the allowed token ids in ascending order, shape [count].

        End-of-generation tokens are among them if the text is complete. Blocks until the mask is computed.

        Raises:
            InvalidFieldError: The text cannot be continued to one that matches.
        """
        return self._next.result()

    def accept(self, token: int) -> None:
        """Advances by the sampled token, and starts to compute the next mask in the background."""
        self._next = _executor.submit(self._advance, token)

    def matches(self, text: str) -> bool:
        """See `Mask.matches`."""
        return self._read.matches(text)

    def _advance(self, token: int) -> TokenIds:
        self._matcher.consume_token(token)
        if self._repeated is not None:
            self._repeated.add(token)
        return self._compute()

    def _compute(self) -> TokenIds:
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        if self._matcher.is_error():
            raise InvalidFieldError(self._field, self._dead_end())
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits).astype(np.int32)
        last = self._repeated.last() if self._repeated is not None else []
        if not last:
            return allowed
        ending = np.intersect1d(allowed, np.array(last, np.int32))
        return ending if ending.size else allowed

    def _dead_end(self) -> str:
        if "NoExtension" in f"{self._matcher.stop_reason()} {self._matcher.get_error()}":
            return "no text can match it, at least not beyond what the model has written so far"
        return "is too complex to be followed; simplify it"


class _Reader:
    """Checks growing prefixes of one text for a match; each character is consumed once."""

    def __init__(self, matcher: LLMatcher, special: SpecialTokenSplitter) -> None:
        self._start = matcher.deep_copy()
        self._special = special
        self._begin()

    def _begin(self) -> None:
        self._text = ""
        self._matcher = self._start.deep_copy()
        self._fits = True

    def matches(self, text: str) -> bool:
        """Returns whether the text is a complete match."""
        if not text.startswith(self._text):
            self._begin()
        tokens = self._special.tokens(text[len(self._text) :])
        self._text = text
        self._fits = self._fits and self._matcher.try_consume_tokens(tokens) == len(tokens)
        return self._fits and self._matcher.is_accepting()


class Grammars:
    """Compiles constraints for one model's vocabulary."""

    def __init__(self, tokenizer: LLTokenizer, trial: Trial) -> None:
        self._tokenizer = tokenizer
        self._special = SpecialTokenSplitter(tokenizer)
        self._trial = trial
        self._last: tuple[Constraint, str] | None = None
        """The last constraint and its grammar."""

    def mask(self, constraint: Constraint) -> TokenMask:
        """Compiles a constraint and returns the mask of a new sequence.

        Raises:
            InvalidFieldError: The constraint is invalid, matches no text, or is too expensive to compile.
        """
        if constraint.words is not None:
            self.mask(constraint.words)  # Its errors must name its own field.
        if self._last is None or self._last[0] != constraint:  # A request for several answers asks for several masks.
            self._last = (constraint, self._checked_grammar(constraint))
        grammar = self._last[1]
        if problem := self._problem(grammar, constraint.field):
            raise InvalidFieldError(constraint.field, reason(problem))
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise InvalidFieldError(constraint.field, reason(matcher.get_error()))
        return TokenMask(matcher, self._tokenizer, self._special, constraint)

    def terminal(self, text: str) -> str:
        """Returns a literal text as Lark; see `lark.Terminal`."""
        return self._special.terminal(text)

    def tokens(self, text: str) -> list[int]:
        """Returns the tokens of a text with special tokens, for a matcher."""
        return self._special.tokens(text)

    def arguments(self, schemas: ArgumentSchemas) -> list[FollowedSchema]:
        """Returns the schemas of tools' arguments for use inside a grammar; see `JsonSchemas.arguments`.

        Raises:
            InvalidFieldError: A schema allows no object, a strict one cannot be followed, or they are too expensive to
                compile together.
        """
        limit = self._trial.seconds + _MOST_SECONDS

        def problem(grammar: str, field: str) -> str:
            if self._trial.seconds > limit:
                raise CostlyFieldError(field, COSTLY)
            return self._problem(grammar, field)

        prepared = JsonSchemas(problem)
        return [
            prepared.arguments(json.loads(source), field, is_strict=is_strict) for source, field, is_strict in schemas
        ]

    def _problem(self, grammar: str, field: str) -> str:
        try:
            return self._trial.problem(grammar)
        except TooCostlyError as error:
            raise CostlyFieldError(field, COSTLY) from error

    def _checked_grammar(self, constraint: Constraint) -> str:
        """Returns the constraint as an llguidance grammar. Raises InvalidFieldError if it is invalid."""
        if constraint.language is not Language.JSON_SCHEMA:
            _check_unbounded(constraint.source, constraint.field)
        try:
            return self._grammar(constraint)
        except ValueError as error:
            raise InvalidFieldError(constraint.field, reason(str(error))) from error
        except RecursionError as error:
            raise InvalidFieldError(constraint.field, "has too many levels") from error
        except TooCostlyError as error:
            raise CostlyFieldError(constraint.field, COSTLY) from error

    def _grammar(self, constraint: Constraint) -> str:
        grammars = [self._named(constraint, "answer")]
        if constraint.words is not None:
            grammars.append(self._named(constraint.words, "words"))
        if constraint.frame:
            whole = {"name": "whole", "lark_grammar": constraint.frame}
            # llguidance rejects unused grammars.
            grammars = [whole, *(grammars if "@answer" in constraint.frame else [])]
            if "@behind" in constraint.frame:
                grammars.append({"name": "behind", "lark_grammar": constraint.behind})
        return json.dumps({"grammars": grammars})

    def _named(self, constraint: Constraint, name: str) -> dict[str, Any]:
        return {**self._own_grammar(constraint), "name": name}

    def _own_grammar(self, constraint: Constraint) -> dict[str, Any]:
        match constraint.language:
            case Language.JSON_SCHEMA:
                schemas = JsonSchemas(self._problem)
                return _single(
                    schemas.whole(json.loads(constraint.source), constraint.field, is_object=constraint.is_object)
                )
            case Language.REGEX:
                if ends_with_escape(constraint.source):
                    raise InvalidFieldError(
                        constraint.field, "cannot be followed: ends with a backslash that escapes nothing"
                    )
                return _single(LLMatcher.grammar_from_regex(constraint.source))
            case Language.CHOICE:
                # ASCII: llguidance's lexer refuses U+007F in a string, but not its escape.
                return {"lark_grammar": "start: " + " | ".join(map(json.dumps, json.loads(constraint.source)))}
            case Language.LARK:
                # Not grammar_from_lark: it returns a source that is JSON, such as `{"grammars": []}`, as a whole
                # grammar.
                return {"lark_grammar": constraint.source}
            case Language.GBNF:
                return {"lark_grammar": self._trial.lark(constraint.source)}


def _check_unbounded(source: str, field: str) -> None:
    """Raises InvalidFieldError if the constraint exceeds a limit that llguidance does not have itself."""
    if _patterns(source) > MOST_PATTERNS:
        raise InvalidFieldError(field, f"cannot be followed: it has more than {MOST_PATTERNS} patternProperties")
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), source)
    if sum(states_of_multiple(match[1]) for match in _MULTIPLE.finditer(plain)) > LARGEST_MULTIPLE:
        raise InvalidFieldError(field, f"cannot be followed: its multipleOf add up to more than {LARGEST_MULTIPLE}")


def _patterns(source: str) -> int:
    """Returns the number of patternProperties in all schemas of the source."""
    found = 0

    def count(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found += sum(len(value) for key, value in pairs if key == "patternProperties" and isinstance(value, dict))
        return dict(pairs)

    decoder = json.JSONDecoder(object_pairs_hook=count)
    for start in _EMBEDDED.finditer(source):
        try:
            decoder.raw_decode(source, start.end())
        except (ValueError, RecursionError):
            continue  # Compiling it reports the error.
    return found


def _single(grammar: str) -> dict[str, Any]:
    """Returns the only grammar of a list that llguidance wrote."""
    (own,) = json.loads(grammar)["grammars"]
    return dict(own)
