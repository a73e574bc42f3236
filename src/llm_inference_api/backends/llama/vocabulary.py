"""Vocabulary and tokenizer of a model loaded by llama.cpp."""

import ctypes
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import llama_cpp.llama_cpp as C
from llguidance.llamacpp import lltokenizer_from_vocab

from llm_inference_api.backends.llama.dry import DrySamplers
from llm_inference_api.grammar.token_mask import Grammars
from llm_inference_api.grammar.trial import Trial
from llm_inference_api.text.pairs import Pair
from llm_inference_api.text.tokenizer import Infill, SpecialTokens

_USER_DEFINED = C.LLAMA_TOKEN_ATTR_USER_DEFINED


class Vocabulary:
    """Vocabulary of a loaded model. Thread-safe."""

    def __init__(self, vocab: Any) -> None:
        self._vocab = vocab
        self.dry = DrySamplers(vocab)
        self.size = int(C.llama_vocab_n_tokens(vocab))
        self._pieces: dict[int, bytes] = {}
        self._kept: tuple[bytes, ...] = ()
        self.longest_piece = max(len(self.text(token)) for token in range(self.size))
        """Length in bytes of the longest token."""
        self.ends = tuple(token for token in range(self.size) if C.llama_vocab_is_eog(vocab, token))
        """The end-of-generation tokens."""
        self._ends = frozenset(self.ends)

    @cached_property
    def grammars(self) -> Grammars:
        """Compiler of constraints for this vocabulary. Created lazily, since that takes up to a second."""
        tokenizer = lltokenizer_from_vocab(self._vocab, eos_token=list(self.ends))
        special = (token for token in range(self.size) if tokenizer.is_special_token(token))
        return Grammars(tokenizer, Trial(self.size, {token: self.text(token) for token in special}))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Returns the token ids of the text.

        Args:
            text: The text.
            add_special: Whether to add the BOS and EOS tokens that the model is configured for.
            parse_special: Whether control tokens in the text are parsed instead of tokenized as plain text.
        """
        data = text.encode()
        room = len(data) + 16
        while True:
            tokens = (C.llama_token * room)()
            count = C.llama_tokenize(self._vocab, data, len(data), tokens, room, add_special, parse_special)
            if count >= 0:
                return list(tokens[:count])
            room = -count

    def pair(self, first: str, second: str) -> Pair:
        """See `PairTokenizer.pair`: as the file's flags say, and for WordPiece as BERT has it."""
        before, after = (self.tokenize(text, add_special=False, parse_special=False) for text in (first, second))
        vocab = self._vocab
        start = [int(C.llama_vocab_bos(vocab))] if C.llama_vocab_get_add_bos(vocab) else []
        separator = int(C.llama_vocab_sep(vocab))
        if C.llama_vocab_type(vocab) == C.LLAMA_VOCAB_TYPE_WPM:
            head = [*start, *before, separator]
            return Pair([*head, *after, separator], len(head))
        end = [int(C.llama_vocab_eos(vocab))] if C.llama_vocab_get_add_eos(vocab) else []
        between = [separator] if C.llama_vocab_get_add_sep(vocab) else []
        tokens = [*start, *before, *end, *between, *after, *end]
        return Pair(tokens, len(tokens))

    def piece(self, token: int) -> bytes:
        """Returns the bytes of a token's text; empty for control tokens, except those of `keep`."""
        if token not in self._pieces:
            text = self._render(token, special=True)
            is_kept = bool(text) and any(text in marker for marker in self._kept)
            self._pieces[token] = text if is_kept else self._render(token, special=False)
        return self._pieces[token]

    def keep(self, markers: Iterable[str]) -> None:
        """Lets control tokens stay in the text whose texts are parts of these markers. To be called before `piece`."""
        self._kept = tuple(marker.encode() for marker in markers)

    def text(self, token: int) -> bytes:
        """Returns the bytes of a token's text, also for control tokens."""
        return self._render(token, special=True)

    def control_texts(self) -> list[str]:
        """Returns the texts of all control tokens."""
        controls = (token for token in range(self.size) if C.llama_vocab_is_control(self._vocab, token))
        return [text for text in (self.text(token).decode("utf-8", "replace") for token in controls) if text]

    def added_texts(self) -> list[str]:
        """Returns the texts of the tokens that text is searched for before it is tokenized, but for control tokens."""
        added = (token for token in range(self.size) if C.llama_vocab_get_attr(self._vocab, token) & _USER_DEFINED)
        return [text for text in (self.text(token).decode("utf-8", "replace") for token in added) if text]

    def is_end(self, token: int) -> bool:
        """Returns whether the token is an end-of-generation token."""
        return token in self._ends

    @property
    def special(self) -> SpecialTokens:
        """The tokens of prompts without a text, and of those for filling in the middle."""
        kinds = (C.llama_vocab_fim_pre, C.llama_vocab_fim_suf, C.llama_vocab_fim_mid)
        infill = Infill(*(int(kind(self._vocab)) for kind in kinds))
        begins = (int(kind(self._vocab)) for kind in (C.llama_vocab_bos, C.llama_vocab_eos))
        start = next((token for token in begins if token >= 0), None)
        return SpecialTokens(infill if min(infill) >= 0 else None, () if start is None else (start,))

    def bos_text(self) -> str:
        """Returns the text of the BOS token; empty if the model has none."""
        return self._special_text(C.llama_vocab_bos(self._vocab))

    def eos_text(self) -> str:
        """Returns the text of the EOS token; empty if the model has none."""
        return self._special_text(C.llama_vocab_eos(self._vocab))

    def _special_text(self, token: int) -> str:
        return "" if token < 0 else self.text(token).decode("utf-8", "replace")

    def _render(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = C.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            room = -length
