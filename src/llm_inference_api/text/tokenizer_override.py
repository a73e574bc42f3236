"""Tokenizer and chat template from a directory, which replace those of the model file."""

import json
from pathlib import Path
from typing import Any, Protocol

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.text.tokenizer import Tokenizer


class ModelVocabulary(Protocol):
    """The model file's own vocabulary, which another tokenizer must be compatible with."""

    size: int
    longest_piece: int

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """See `Tokenizer.tokenize`."""


class FileTokenizer:
    """Tokenizer of a `tokenizer.json`, run by the `tokenizers` library."""

    def __init__(self, path: Path, vocabulary: ModelVocabulary) -> None:
        """Loads the file. Raises ModelFailedError if it is invalid or has more tokens than the model."""
        from tokenizers import Tokenizer as LibraryTokenizer  # noqa: PLC0415 - few models need it

        try:
            self._tokenizer: Any = LibraryTokenizer.from_file(str(path))
        except Exception as error:  # The library raises nothing more specific.
            raise ModelFailedError(f"{path.name} is not a valid tokenizer: {error}") from error
        tokens = self._tokenizer.get_vocab_size()
        if tokens > vocabulary.size:
            raise ModelFailedError(
                f"the tokenizer has {tokens} tokens and the model {vocabulary.size}; they do not belong together"
            )
        self.size = vocabulary.size
        self.longest_piece = vocabulary.longest_piece

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:  # noqa: ARG002
        """See `Tokenizer.tokenize`; control tokens are always parsed."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special).ids)


def load_tokenizer(directory: Path | None, vocabulary: ModelVocabulary) -> Tokenizer:
    """Returns the tokenizer in the directory, or the model's own if there is none.

    Raises ModelFailedError if the directory's tokenizer is invalid or does not fit the model.
    """
    path = directory and directory / "tokenizer.json"
    return FileTokenizer(path, vocabulary) if path and path.is_file() else vocabulary


def load_template(directory: Path | None) -> str | None:
    """Returns the Jinja source of the chat template in the directory, or None.

    Looks in chat_template.jinja, chat_template.json and tokenizer_config.json, in this order. Raises ModelFailedError
    if a file is not valid JSON.
    """
    if directory is None:
        return None
    own = directory / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        template = _field(directory / name, "chat_template")
        if template is not None:
            return _default_template(template)
    return None


def _field(path: Path, name: str) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8")).get(name)
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelFailedError(f"{path.name} is not a JSON object") from error


def _default_template(value: Any) -> str | None:
    """Returns the template; of a list of named templates, the one named `default`, or None."""
    if isinstance(value, list):
        named = {entry.get("name"): entry.get("template") for entry in value if isinstance(entry, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None
