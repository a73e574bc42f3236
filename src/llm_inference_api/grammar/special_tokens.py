"""Special tokens of a vocabulary in texts, for grammars and for matching."""

import json
import re
from functools import cached_property

from llguidance import LLTokenizer

_TERMINAL = re.compile(r'<\[(\d+)\]>|("(?:\\.|[^"\\])*")')


class SpecialTokenSplitter:
    """Splits texts at the special tokens that they spell."""

    def __init__(self, tokenizer: LLTokenizer) -> None:
        """Takes the tokenizer of the vocabulary."""
        self._tokenizer = tokenizer

    def terminal(self, text: str) -> str:
        """Returns a text as Lark; see `lark.Terminal`."""
        found: list[str] = []
        for part in self._parts(text):
            token = self._ids.get(part)
            if token in self._ends:
                return " ".join([*found, '""'])
            found.append(json.dumps(part) if token is None else f"<[{token}]>")
        return " ".join(found)

    def tokens(self, text: str) -> list[int]:
        """Returns the tokens of a text, which need not be those that the model's own tokenizer finds."""
        found: list[int] = []
        for part in self._parts(text):
            token = self._ids.get(part)
            found += self._tokenizer.greedy_tokenize(part) if token is None else [token]
        return found

    def of_terminals(self, terminals: str) -> list[int]:
        """Returns the tokens of Lark terminals, which are strings and tokens."""
        found: list[int] = []
        for token, string in _TERMINAL.findall(terminals):
            found += [int(token)] if token else self._tokenizer.greedy_tokenize(json.loads(string))
        return found

    def _parts(self, text: str) -> list[str]:
        return [part for part in self._pattern.split(text) if part]

    @cached_property
    def _ids(self) -> dict[str, int]:
        special = filter(self._tokenizer.is_special_token, range(self._tokenizer.vocab_size))
        texts = ((self._text(token), token) for token in special)
        return {text: token for text, token in texts if text}

    @cached_property
    def _ends(self) -> frozenset[int | None]:
        return frozenset(self._tokenizer.eos_tokens)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._ids, key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first))})" if longest_first else r"(?!)")

    def _text(self, token: int) -> str:
        return self._tokenizer.decode_bytes([token]).removeprefix(b"\xff").decode("utf-8", "replace")
