"""What the text of an answer must match, compiled for one model's tokens with llguidance.

llguidance bounds its own work: what exceeds its limits is an error of the request, never a slow step for others.
"""

import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from llm_inference_api.engine.request import Constraint, Language
from llm_inference_api.errors import InvalidFieldError

TokenIds = npt.NDArray[np.int32]

_LIMITS = LLParserLimits(verbose_errors=False)
_JSON_OPTIONS: dict[str, Any] = {"whitespace_pattern": r"\n?[ ]{0,32}"}
"""Bounded white space: small models fall into endless indentation."""
_LONGEST_REASON = 500
_EXCERPT = re.compile(r"\n *\d+ \|")
"""Where llguidance begins to show the grammar around a problem."""


class TokenMask:
    """The tokens that may come next in one answer."""

    def __init__(self, matcher: LLMatcher, tokenizer: LLTokenizer, field: str) -> None:
        """Raises InvalidFieldError where no text at all can match."""
        self._matcher = matcher
        self._tokenizer = tokenizer
        self._field = field
        self._start = matcher.deep_copy()
        self._bits = np.zeros((tokenizer.vocab_size + 31) // 32, np.int32)
        self._next: TokenIds | None = self._compute()

    def allowed(self) -> TokenIds:
        """Returns the ids of the tokens that may come next, in order; those that end an answer where it is complete.

        Raises InvalidFieldError where the text cannot be continued to one that matches.
        """
        if self._next is None:
            self._next = self._compute()
        return self._next

    def accept(self, token: int) -> None:
        """Notes the token that was chosen among the allowed ones."""
        self._matcher.consume_token(token)
        self._next = None

    def matches(self, text: str) -> bool:
        """Returns whether this, as a whole answer, matches."""
        matcher = self._start.deep_copy()
        tokens = self._tokenizer.greedy_tokenize(text)
        return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()

    def _compute(self) -> TokenIds:
        self._matcher.unsafe_compute_mask_ptr(self._bits.ctypes.data, self._bits.nbytes)
        if self._matcher.is_error():
            raise InvalidFieldError(self._field, self._dead_end())
        bits = np.unpackbits(self._bits.view(np.uint8), bitorder="little")
        return np.flatnonzero(bits).astype(np.int32)

    def _dead_end(self) -> str:
        reason = str(self._matcher.stop_reason())
        if reason in ("ParserTooComplex", "LexerTooComplex"):
            return "is too complex to be followed; simplify it"
        return "no text can match it, at least not beyond what the model has written so far"


def compile_constraint(constraint: Constraint, tokenizer: LLTokenizer) -> TokenMask:
    """Returns the mask for a new answer. Raises InvalidFieldError where nothing can match, or for lack of sense."""
    if constraint.words is not None:
        compile_constraint(constraint.words, tokenizer)  # What is wrong with it is said of its own field.
    try:
        grammar = _grammar(constraint)
    except ValueError as error:
        raise InvalidFieldError(constraint.field, _reason(str(error))) from error
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=_LIMITS)
    if matcher.is_error():
        raise InvalidFieldError(constraint.field, _reason(matcher.get_error()))
    return TokenMask(matcher, tokenizer, constraint.field)


def json_schema(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """Returns the schema as part of a grammar.

    Where it is not strict, keywords that cannot be followed restrict nothing; neither does a schema without sense.
    """
    options = {**_JSON_OPTIONS, "lenient": not strict}
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides=options)  # type: ignore[arg-type]
    if not strict and LLMatcher.validate_grammar(grammar):
        schema = {"type": "object"}
    return {**schema, "x-guidance": options}


def _grammar(constraint: Constraint) -> str:
    grammars = _named(constraint, "answer")
    if constraint.words is not None:
        grammars += _named(constraint.words, "words")
    if constraint.before:
        grammars.insert(0, {"name": "whole", "lark_grammar": f"start: before @answer\n{constraint.before}"})
    return json.dumps({"grammars": grammars})


def _named(constraint: Constraint, name: str) -> list[dict[str, Any]]:
    grammar = _own_grammar(constraint)
    if not grammar.startswith("{"):
        return [{"name": name, "lark_grammar": grammar}]
    (own,) = json.loads(grammar)["grammars"]
    return [{**own, "name": name}]


def _own_grammar(constraint: Constraint) -> str:
    match constraint.language:
        case Language.JSON_SCHEMA:
            return LLMatcher.grammar_from_json_schema(constraint.source, overrides=_JSON_OPTIONS)  # type: ignore[arg-type]
        case Language.REGEX:
            return LLMatcher.grammar_from_regex(constraint.source)
        case Language.CHOICE:
            texts = json.loads(constraint.source)
            return LLMatcher.grammar_from_lark(
                "start: " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts)
            )
        case Language.LARK:
            return LLMatcher.grammar_from_lark(constraint.source)


def _reason(text: str) -> str:
    """Returns what llguidance says of a constraint, without the excerpt that it repeats."""
    lines = [line.strip() for line in _EXCERPT.split(text, maxsplit=1)[0].splitlines()]
    return "cannot be followed: " + " ".join(filter(None, lines))[:_LONGEST_REASON]
