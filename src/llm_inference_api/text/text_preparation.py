"""What a tokenizer does to text before llama.cpp's part of it, for the things that llama.cpp leaves out."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_PREFIX = "llm_inference_api.tokenizer."

# White_Space of Unicode, which Python's \s exceeds by four separators.
_SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"


@dataclass(frozen=True, slots=True)
class TextPreparation:
    """Travels in the GGUF file's metadata; apply it to a whole text, before tokenising.

    `space`: "first" puts a space before a text, "each" also before text that follows an added token, unless
    there is one. `strips_left`, `strips_right`: added tokens that take white space before or after them away.
    `controls`, `plain`: the added tokens that only a prompt parses, and those that content parses too.
    """

    nfc: bool = False
    space: str = ""
    strips_left: tuple[str, ...] = ()
    strips_right: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "TextPreparation":
        """`metadata` as llama.cpp gives it."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            if _PREFIX + field.name in metadata:
                value = json.loads(metadata[_PREFIX + field.name])
                values[field.name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)

    def metadata(self) -> dict[str, str]:
        """What differs from the defaults, as JSON."""
        values = {_PREFIX + field.name: getattr(self, field.name) for field in fields(self)}
        return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items() if value}

    def apply(self, text: str) -> str:
        """For a prompt, in which special tokens are parsed."""
        if self.strips_left:
            text = re.sub(f"{_SPACE}({_any_of(self.strips_left)})", r"\1", text)
        if self.strips_right:
            text = re.sub(f"({_any_of(self.strips_right)}){_SPACE}", r"\1", text)
        return self._spaced(self._composed(text), (*self.controls, *self.plain))

    def apply_to_content(self, text: str) -> str:
        """For a text in which control tokens stay text."""
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


def _any_of(tokens: tuple[str, ...]) -> str:
    return "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
