"""A tokenizer in the terms of a GGUF file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gguf import TokenType

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.text.text_preparation import TextPreparation

# sentencepiece writes a space so.
SPACE_MARK = "▁"


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    kind: TokenType
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found in the text before the model's own tokens, as `tokenizers` describes it."""

    id: int
    content: str
    special: bool
    strips_left: bool = False
    strips_right: bool = False

    @property
    def kind(self) -> TokenType:
        return TokenType.CONTROL if self.special or looks_special(self.content) else TokenType.USER_DEFINED

    @property
    def text(self) -> str:
        """llama.cpp looks for user-defined tokens in the text as it was written."""
        plain = self.kind is TokenType.USER_DEFINED
        return self.content.replace(SPACE_MARK, " ") if plain else self.content


def looks_special(content: str) -> bool:
    """Tokens that publishers forgot to mark; the same ones that llama.cpp's converter makes CONTROL."""
    bracketed = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    return content in ("<pad>", "<mask>", "<2mass>", "[@BOS@]") or any(
        content.startswith(left) and content.endswith(right) for left, right in bracketed
    )


@dataclass(slots=True)
class Vocabulary:
    """`model` and `pre` are llama.cpp's names of an algorithm and of a way to split text before it."""

    model: str
    pre: str
    tokens: dict[int, Token]
    merges: list[str] = field(default_factory=list)
    space_prefix: bool | None = None
    preparation: TextPreparation = field(default_factory=TextPreparation)
    special_ids: dict[str, int] = field(default_factory=dict)
    # For special tokens that no configuration names.
    default_ids: dict[str, int] = field(default_factory=dict)
    add_bos: bool = False
    add_eos: bool = False

    def add(self, added: Sequence[AddedToken]) -> None:
        """Put added tokens over the model's own; an unknown token stays one."""
        for token in added:
            present = self.tokens.get(token.id)
            if present is None or present.kind is not TokenType.UNKNOWN:
                self.tokens[token.id] = Token(token.text, token.kind, -1000.0)
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
        return next((id_ for id_, token in self.tokens.items() if token.text == text), None)

    def drop_beyond(self, size: int) -> None:
        """Forget added tokens that have no row in the embedding: no text may become them."""
        beyond = [id_ for id_ in self.tokens if id_ >= size]
        for id_ in beyond:
            if self.tokens[id_].kind not in (TokenType.CONTROL, TokenType.USER_DEFINED):
                raise ConversionError(f"tokenizer: has a token {id_}, config.json's vocab_size is {size}")
            del self.tokens[id_]
        self.special_ids = {name: id_ for name, id_ in self.special_ids.items() if id_ < size}

    def padded(self, size: int) -> list[Token]:
        """Tokens by id; embedding rows without a token get one that no text can become."""
        filler = (Token(f"[PAD{id_}]", TokenType.UNUSED, -10000.0) for id_ in range(size))
        held = {id_: token for id_, token in self.tokens.items() if token.text}
        tokens = [held.get(id_, pad) for id_, pad in enumerate(filler)]
        # llama.cpp aborts on two tokens of one text.
        repeated = [text for text, count in Counter(token.text for token in tokens).items() if count > 1]
        if repeated:
            raise ConversionError(f"tokenizer: two tokens have the text {repeated[0]!r}")
        return tokens

    def metadata(self, size: int) -> Metadata:
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
        if self.model == "llama":
            metadata["tokenizer.ggml.scores"] = [token.score for token in tokens]
        if self.merges:
            metadata["tokenizer.ggml.merges"] = self.merges
        if self.space_prefix is not None:
            metadata["tokenizer.ggml.add_space_prefix"] = self.space_prefix
        ids: Metadata = {f"tokenizer.ggml.{name}_token_id": id_ for name, id_ in self.special_ids.items()}
        preparation: Metadata = {**self.preparation.metadata()}
        return metadata | ids | preparation
