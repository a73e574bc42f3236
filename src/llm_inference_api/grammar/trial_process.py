"""Child process that compiles grammars on trial. Exceeding a limit kills this process only.

Protocol: JSON lines on stdin and stdout. The first line has the vocabulary; each further line has a grammar. Each line
is answered by one line.
"""

import json
import resource
import signal
import sys

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

LIMITS = LLParserLimits(verbose_errors=False, initial_lexer_fuel=300_000)
"""The lexer fuel limits most of the compilation to about 0.2 s, but not the intersection of patterns."""
_MOST_MEMORY = 1 << 30
"""Bytes of address space."""
_MOST_SECONDS = 1.0
"""CPU time per grammar. Unlike wall-clock time, it does not depend on the machine's load."""


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
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size, special = json.loads(sys.stdin.readline())
    vocabulary = _Vocabulary(size, {int(token): text.encode("latin-1") for token, text in special.items()})
    tokenizer = LLTokenizer(TokenizerWrapper(vocabulary), slices=[])
    _write("ready")
    for line in sys.stdin:
        _limit_time()
        matcher = LLMatcher(tokenizer, json.loads(line), log_level=0, limits=LIMITS)
        _write(matcher.get_error() if matcher.is_error() else "")


def _limit_time() -> None:
    """Restarts the CPU time limit of all threads; SIGPROF, whose default action ends the process, fires at its end."""
    signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)


def _write(text: str) -> None:
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
