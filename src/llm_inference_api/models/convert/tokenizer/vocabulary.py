"""The vocabulary of a GGUF file: tokens, special tokens, and how text is prepared for llama.cpp's tokenizer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gguf import Keys, TokenType

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.text.text_preparation import TextPreparation

SPACE_MARK = "▁"
"""sentencepiece's character for a space (U+2581)."""


@dataclass(frozen=True, slots=True)
class GgufToken:
    """An entry of `tokenizer.ggml.tokens`, `token_type` and `scores`."""

    text: str
    """As llama.cpp expects it: byte-level BPE in GPT-2's characters, sentencepiece with marks for spaces."""
    kind: TokenType
    score: float = 0.0
    """Of sentencepiece vocabularies: the pair whose token has the highest score is merged first."""


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is matched in text before the model's tokenization, as `tokenizers` describes it (AddedToken)."""

    id: int
    content: str
    special: bool
    strips_left: bool = False
    """Whether it takes the white space before it away (`lstrip`)."""
    strips_right: bool = False
    """Whether it takes the white space after it away (`rstrip`)."""
    normalized: bool = False
    """Whether it is matched in the text that the normalizer has made, after which it was made itself."""

    @property
    def kind(self) -> TokenType:
        """CONTROL for tokens that only templates may produce, USER_DEFINED for those that text may contain."""
        return TokenType.CONTROL if self.special or looks_special(self.content) else TokenType.USER_DEFINED

    @property
    def text(self) -> str:
        """The text to match: llama.cpp looks for user-defined tokens before it replaces spaces by marks."""
        plain = self.kind is TokenType.USER_DEFINED
        return self.content.replace(SPACE_MARK, " ") if plain else self.content


def looks_special(content: str) -> bool:
    """Returns whether a token that is not marked as special is one by its text.

    The list is that of llama.cpp's converter (`does_token_look_special` in convert_hf_to_gguf.py).
    """
    bracketed = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    return content in ("<pad>", "<mask>", "<2mass>", "[@BOS@]") or any(
        content.startswith(left) and content.endswith(right) for left, right in bracketed
    )


@dataclass(slots=True)
class GgufVocabulary:
    """A tokenizer in the terms of GGUF metadata (`tokenizer.ggml.*`)."""

    model: str
    """llama.cpp's name of the algorithm.

    "llama" is sentencepiece's BPE, "gpt2" byte-level BPE, "bert" WordPiece, "t5" Unigram.
    """
    pre: str
    """llama.cpp's name of the pre-tokenizer (llama-vocab.cpp)."""
    tokens: dict[int, GgufToken]
    """By id; ids may be missing."""
    merges: list[str] = field(default_factory=list)
    """Of byte-level BPE: pairs separated by a space, first merges first."""
    space_prefix: bool | None = None
    """Whether llama.cpp puts a space before text; None where the algorithm has no such option."""
    preparation: TextPreparation = field(default_factory=TextPreparation)
    """What is done to text before llama.cpp tokenizes it."""
    special_ids: dict[str, int] = field(default_factory=dict)
    """By GGUF's names: bos, eos, eot, eom, unknown, padding; of encoders also cls, seperator, mask."""
    default_ids: dict[str, int] = field(default_factory=dict)
    """As `special_ids`, for tokens that no configuration file names."""
    add_bos: bool = False
    """Whether a text is preceded by the bos token."""
    add_eos: bool = False
    """Whether a text is followed by the eos token."""
    definition: str | None = None
    """tokenizer.json for the `tokenizers` library, which tokenizes in llama.cpp's stead; None where llama.cpp does."""

    def add(self, added: Sequence[AddedToken]) -> None:
        """Overwrites tokens of the model with added tokens; an unknown token stays unknown."""
        for token in added:
            present = self.tokens.get(token.id)
            if present is None or present.kind is not TokenType.UNKNOWN:
                self.tokens[token.id] = GgufToken(token.text, token.kind, -1000.0)
        controls = tuple(token.text for token in added if token.kind is TokenType.CONTROL)
        plain = tuple(token.text for token in added if token.kind is not TokenType.CONTROL)
        spaced = bool(self.preparation.space)
        self.preparation = replace(
            self.preparation,
            strips_left=tuple(token.text for token in added if token.strips_left),
            strips_right=tuple(token.text for token in added if token.strips_right),
            controls=controls if spaced else (),
            plain=plain if spaced else (),
        )

    def find(self, text: str) -> int | None:
        """Returns the id of the token with this text, or None."""
        return next((id_ for id_, token in self.tokens.items() if token.text == text), None)

    def drop_beyond(self, size: int) -> None:
        """Removes added tokens that have no row in the embedding, so that text cannot contain them.

        Raises:
            ConversionError: Another token has no row either.
        """
        beyond = [id_ for id_ in self.tokens if id_ >= size]
        for id_ in beyond:
            if self.tokens[id_].kind not in (TokenType.CONTROL, TokenType.USER_DEFINED):
                raise ConversionError(f"tokenizer: has a token of id {id_}, but config.json's vocab_size is {size}")
            del self.tokens[id_]
        self.special_ids = {name: id_ for name, id_ in self.special_ids.items() if id_ < size}

    def padded(self, size: int) -> list[GgufToken]:
        """Returns a token for each of `size` ids; ids without a token get an unused one, which no text contains.

        Raises:
            ConversionError: Two tokens have the same text, on which llama.cpp aborts.
        """
        filler = (GgufToken(f"[PAD{id_}]", TokenType.UNUSED, -10000.0) for id_ in range(size))
        held = {id_: token for id_, token in self.tokens.items() if token.text}
        tokens = [held.get(id_, pad) for id_, pad in enumerate(filler)]
        repeated = [text for text, count in Counter(token.text for token in tokens).items() if count > 1]
        if repeated:
            raise ConversionError(f"tokenizer: two tokens have the text {repeated[0]!r}")
        return tokens

    def metadata(self, size: int) -> Metadata:
        """Returns the metadata for an embedding of `size` rows; tokens beyond are removed.

        Raises:
            ConversionError: The tokens do not fit the embedding, or two have the same text.
        """
        self.drop_beyond(size)
        tokens = self.padded(size)
        metadata: Metadata = {
            "tokenizer.ggml.model": self.model,
            "tokenizer.ggml.pre": self.pre,
            "tokenizer.ggml.tokens": [token.text for token in tokens],
            "tokenizer.ggml.token_type": [int(token.kind) for token in tokens],
            "tokenizer.ggml.add_bos_token": self.add_bos,
            "tokenizer.ggml.add_eos_token": self.add_eos,
        }
        if self.model in ("llama", "t5"):
            metadata["tokenizer.ggml.scores"] = [token.score for token in tokens]
        if self.merges:
            metadata["tokenizer.ggml.merges"] = self.merges
        if self.space_prefix is not None:
            metadata["tokenizer.ggml.add_space_prefix"] = self.space_prefix
        ids: Metadata = {f"tokenizer.ggml.{name}_token_id": id_ for name, id_ in self.special_ids.items()}
        if self.definition is not None:
            metadata[Keys.Tokenizer.HF_JSON] = self.definition
        preparation: Metadata = {**self.preparation.metadata()}
        return metadata | ids | preparation
