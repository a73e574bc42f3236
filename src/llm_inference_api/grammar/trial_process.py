"""Child process that compiles grammars on trial. Exceeding a limit kills this process only.

The first question is the vocabulary; each further one is a grammar, answered by llguidance's error and the seconds of
processor time that it took, or an object with a GBNF grammar, answered by the same in Lark and an error.
"""

import time

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from llm_inference_api.grammar.gbnf import as_lark
from llm_inference_api.processes.limited_child import answer, limited, questions

LIMITS = LLParserLimits(verbose_errors=False, initial_lexer_fuel=300_000)
"""The lexer fuel limits most of the compilation to about 0.2 s, but not the intersection of patterns."""
_MOST_MEMORY = 1 << 30
"""Bytes of address space."""
MOST_SECONDS = 1.0
"""CPU time per grammar. Unlike wall-clock time, it does not depend on the machine's load."""
_VOCABULARY_SECONDS = 30.0
"""CPU time to read the vocabulary."""


class _Vocabulary:
    """Reduced vocabulary of the model's size: special tokens at their ids, and one token per byte.

    All other tokens are empty, since the time to compile a grammar does not depend on them.
    """

    bos_token_id = None

    def __init__(self, size: int, special: dict[int, bytes]) -> None:
        self.tokens = [special.get(token, b"") for token in range(size)]
        free = (token for token in range(size) if token not in special)
        for byte, token in zip(range(256), free, strict=False):
            self.tokens[token] = bytes([byte])
        self.special_token_ids = list(special)
        self.eos_token_id = next(iter(special), 0)

    def __call__(self, text: str) -> list[int]:
        """Returns the token ids of the text, one per byte."""
        return [self.tokens.index(bytes([byte])) for byte in text.encode()]


def main() -> None:
    """Compiles grammars until stdin is closed."""
    limited(_MOST_MEMORY)
    asked = questions(MOST_SECONDS, first=_VOCABULARY_SECONDS)
    size, special = next(asked)
    vocabulary = _Vocabulary(size, {int(token): text.encode("latin-1") for token, text in special.items()})
    tokenizer = LLTokenizer(TokenizerWrapper(vocabulary), slices=[])
    answer("ready")
    for grammar in asked:
        if isinstance(grammar, dict):
            answer(_lark(grammar["gbnf"]))
            continue
        before = time.process_time()
        matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
        problem = matcher.get_error() if matcher.is_error() else ""
        answer((problem, time.process_time() - before))


def _lark(gbnf: str) -> tuple[str, str]:
    try:
        return as_lark(gbnf), ""
    except ValueError as error:
        return "", str(error)


if __name__ == "__main__":
    main()
