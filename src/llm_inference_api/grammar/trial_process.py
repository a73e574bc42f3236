"""The process in which grammars are compiled on trial: what costs too much ends it, and nothing else.

It reads a line with the vocabulary, then a line for each grammar, and answers each with a line: all of them JSON.
"""

import json
import resource
import signal
import sys

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

LIMITS = LLParserLimits(verbose_errors=False, initial_lexer_fuel=300_000)
"""The fuel bounds most of what compiling takes, to about 0.2 s; whether patterns have a text in common it does not."""
_MOST_MEMORY = 1 << 30
_MOST_SECONDS = 1.0
"""Of processor time for a grammar: on a busy machine the same grammars are refused as on an idle one."""


class _Vocabulary:
    """As many tokens as the model has, those with a meaning of their own at their places.

    Of the others, all but the single bytes are empty: how long a grammar takes to compile does not depend on them.
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
        """Returns the tokens of the text, each a byte."""
        return [self.tokens.index(bytes([byte])) for byte in text.encode()]


def main() -> None:
    """Serves until the other side closes the input."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    size, special = json.loads(sys.stdin.readline())
    vocabulary = _Vocabulary(size, {int(token): text.encode("latin-1") for token, text in special.items()})
    tokenizer = LLTokenizer(TokenizerWrapper(vocabulary), slices=[])
    _say("ready")
    for line in sys.stdin:
        _limit_time()
        matcher = LLMatcher(tokenizer, json.loads(line), log_level=0, limits=LIMITS)
        _say(matcher.get_error() if matcher.is_error() else "")


def _limit_time() -> None:
    """Lets SIGPROF, whose default is to end the process, come after so much more processor time of all its threads."""
    signal.setitimer(signal.ITIMER_PROF, _MOST_SECONDS)


def _say(text: str) -> None:
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
