"""What a tokenizer does to text before llama.cpp's part of it, for the things that llama.cpp leaves out."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

_NFC = "llm_inference_api.tokenizer.nfc"
_LEADING_SPACE = "llm_inference_api.tokenizer.leading_space"
_STRIPS_LEFT = "llm_inference_api.tokenizer.strips_left"
_STRIPS_RIGHT = "llm_inference_api.tokenizer.strips_right"

# White_Space of Unicode, which Python's \s exceeds by four separators.
_SPACE = "[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*"


@dataclass(frozen=True, slots=True)
class TextPreparation:
    """Travels in the GGUF file's metadata; apply it to a whole prompt, before tokenising.

    `strips_left`, `strips_right`: added tokens that take the white space before or after them away.
    """

    nfc: bool = False
    leading_space: bool = False
    strips_left: tuple[str, ...] = ()
    strips_right: tuple[str, ...] = ()

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "TextPreparation":
        """`metadata` as llama.cpp gives it, where a boolean reads "true"."""
        return cls(
            metadata.get(_NFC) == "true",
            metadata.get(_LEADING_SPACE) == "true",
            tuple(json.loads(metadata.get(_STRIPS_LEFT, "[]"))),
            tuple(json.loads(metadata.get(_STRIPS_RIGHT, "[]"))),
        )

    def metadata(self) -> dict[str, str | bool]:
        """Returns what the file's metadata says of it."""
        flags = {_NFC: self.nfc, _LEADING_SPACE: self.leading_space}
        lists = {_STRIPS_LEFT: self.strips_left, _STRIPS_RIGHT: self.strips_right}
        texts = {key: json.dumps(tokens, ensure_ascii=False) for key, tokens in lists.items() if tokens}
        return {key: True for key, value in flags.items() if value} | texts

    def apply(self, text: str, *, starts_with_special: bool = False) -> str:
        """A prompt in which special tokens are parsed; `starts_with_special` if it begins with one."""
        if self.strips_left:
            text = re.sub(f"{_SPACE}({_any_of(self.strips_left)})", r"\1", text)
        if self.strips_right:
            text = re.sub(f"({_any_of(self.strips_right)}){_SPACE}", r"\1", text)
        return self.apply_to_content(text, starts_with_special=starts_with_special)

    def apply_to_content(self, text: str, *, starts_with_special: bool = False) -> str:
        """A text in which nothing is parsed: what spells a special token strips nothing."""
        if self.nfc:
            text = unicodedata.normalize("NFC", text)
        if self.leading_space and text and text[0] not in " ▁" and not starts_with_special:
            text = " " + text
        return text


def _any_of(tokens: tuple[str, ...]) -> str:
    return "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True))
