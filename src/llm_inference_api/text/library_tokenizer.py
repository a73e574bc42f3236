"""Tokenizers that the `tokenizers` library runs in llama.cpp's stead, and the chat templates beside one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.text.pairs import Pair

DEFAULT = "default"
"""Name of the template for chats that no other one is for."""
_DEFINITION = "tokenizer.huggingface.json"
"""GGUF's key of a whole tokenizer.json (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""


class ModelVocabulary(Protocol):
    """The model file's own vocabulary, which another tokenizer must be compatible with."""

    size: int
    longest_piece: int

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """See `Tokenizer.tokenize`."""

    def pair(self, first: str, second: str) -> Pair:
        """See `PairTokenizer.pair`."""


class LibraryTokenizer:
    """Tokenizer of a `tokenizer.json`, run by the `tokenizers` library. Thread-safe.

    Texts are neither truncated nor padded, whatever the definition says.
    """

    def __init__(self, definition: str, vocabulary: ModelVocabulary) -> None:
        """Reads the definition, in JSON. Raises ModelFailedError if it is invalid or has more tokens than the model."""
        self._parsing, self._literal = _run(definition), _run(definition)
        self._literal.encode_special_tokens = True
        tokens = max(self._parsing.get_vocab().values(), default=-1) + 1
        if tokens > vocabulary.size:
            raise ModelFailedError(
                f"the tokenizer has {tokens} tokens and the model {vocabulary.size}; they do not belong together"
            )
        self.size = vocabulary.size
        self.longest_piece = vocabulary.longest_piece

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """See `Tokenizer.tokenize`."""
        tokenizer = self._parsing if parse_special else self._literal
        return list(tokenizer.encode(text, add_special_tokens=add_special).ids)

    def pair(self, first: str, second: str) -> Pair:
        """See `PairTokenizer.pair`."""
        encoded = self._literal.encode(first, second)
        types = encoded.type_ids
        return Pair(list(encoded.ids), types.index(1) if 1 in types else len(types))


def _run(definition: str) -> Any:
    from tokenizers import Tokenizer as Library  # noqa: PLC0415 - few models need it

    try:
        tokenizer = Library.from_str(definition)
    except Exception as error:  # The library raises nothing more specific.
        raise ModelFailedError(f"tokenizer.json is not a valid tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def load_tokenizer(
    directory: Path | None, vocabulary: ModelVocabulary, metadata: Mapping[str, str] | None = None
) -> ModelVocabulary:
    """Returns the tokenizer in the directory, else the one in a GGUF file's metadata, else llama.cpp's.

    Raises ModelFailedError if the directory's or the metadata's tokenizer is invalid or does not fit the model.
    """
    path = directory and directory / "tokenizer.json"
    if path and path.is_file():
        try:
            return LibraryTokenizer(path.read_text(encoding="utf-8"), vocabulary)
        except ValueError as error:
            raise ModelFailedError(f"{path.name} is not UTF-8 text") from error
    definition = (metadata or {}).get(_DEFINITION)
    return LibraryTokenizer(definition, vocabulary) if definition else vocabulary


def load_templates(directory: Path | None) -> dict[str, str]:
    """Returns the Jinja sources of the chat templates in the directory, by name; that without a name is `default`.

    Looks in chat_template.jinja, chat_template.json and tokenizer_config.json, in this order. Raises ModelFailedError
    if a file is not valid JSON.
    """
    if directory is None:
        return {}
    own = directory / "chat_template.jinja"
    if own.is_file():
        return {DEFAULT: own.read_text(encoding="utf-8")}
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = _field(directory / name, "chat_template")
        if template is not None:
            return _named(template)
    return {}


def _field(path: Path, name: str) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8")).get(name)
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelFailedError(f"{path.name} is not a JSON object") from error


def _named(value: Any) -> dict[str, str]:
    """Returns the templates by name, of one template or a list of named ones."""
    entries = value if isinstance(value, list) else [{"name": DEFAULT, "template": value}]
    named = {entry.get("name"): entry.get("template") for entry in entries if isinstance(entry, dict)}
    return {name: text for name, text in named.items() if isinstance(name, str) and isinstance(text, str)}
