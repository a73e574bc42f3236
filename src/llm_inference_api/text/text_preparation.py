"""Normalization of text before tokenization, for the parts of a Hugging Face tokenizer that llama.cpp lacks."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from llm_inference_api.errors import ModelFailedError

_PREFIX = "llm_inference_api.tokenizer."
"""Prefix of the GGUF metadata keys."""

# Unicode's White_Space property. Python's \s also matches the separators U+001C to U+001F.
_SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"


@dataclass(frozen=True, slots=True)
class TextPreparation:
    """Normalization of a whole text, to be applied before tokenizing. Stored in the GGUF file's metadata."""

    nfc: bool = False
    """Whether to normalize to Unicode NFC."""
    space: str = ""
    """Where to insert a space if there is none: "first": before the text; "each": also after added tokens."""
    strips_left: tuple[str, ...] = ()
    """Added tokens that remove the white space before them."""
    strips_right: tuple[str, ...] = ()
    """Added tokens that remove the white space after them."""
    controls: tuple[str, ...] = ()
    """Added tokens that are parsed in prompts only."""
    plain: tuple[str, ...] = ()
    """Added tokens that are parsed in prompts and in content."""

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "TextPreparation":
        """Returns the preparation in GGUF metadata whose values are strings, as from llama.cpp.

        Raises:
            ModelFailedError: A value is not valid JSON.
        """
        values: dict[str, Any] = {}
        for field in fields(cls):
            if _PREFIX + field.name in metadata:
                value = _value(_PREFIX + field.name, metadata)
                values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def metadata(self) -> dict[str, str]:
        """Returns the fields that are not empty as GGUF metadata, with JSON values."""
        values = {_PREFIX + field.name: getattr(self, field.name) for field in fields(self)}
        return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items() if value}

    def apply(self, text: str) -> str:
        """Returns the normalized text of a prompt, in which control tokens are parsed."""
        if self.strips_left:
            text = re.sub(f"{_SPACE}({_any_of(self.strips_left)})", r"\1", text)
        if self.strips_right:
            text = re.sub(f"({_any_of(self.strips_right)}){_SPACE}", r"\1", text)
        return self._spaced(self._composed(text), (*self.controls, *self.plain))

    def apply_to_content(self, text: str) -> str:
        """Returns the normalized text of content, in which control tokens are plain text."""
        return self._spaced(self._composed(text), self.plain)

    def _composed(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self.nfc else text

    def _spaced(self, text: str, added: tuple[str, ...]) -> str:
        if not self.space or not text:
            return text
        spaced_or_added = "|".join(("[ ▁]", *(re.escape(token) for token in added)))
        text = re.sub(rf"\A(?!{spaced_or_added})", " ", text)
        if self.space == "each" and added:
            text = re.sub(rf"({_any_of(added)})(?!{spaced_or_added}|\Z)", r"\1 ", text)
        return text


def _value(key: str, metadata: Mapping[str, str]) -> Any:
    try:
        return json.loads(metadata[key])
    except (ValueError, RecursionError) as error:
        raise ModelFailedError(f"the file's metadata {key} is not valid JSON") from error


def _any_of(tokens: tuple[str, ...]) -> str:
    return "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
