"""Conversion of tokenizer.json, the format of the `tokenizers` library, to a vocabulary of llama.cpp."""

import re
from dataclasses import replace
from typing import Any

from gguf import TokenType

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tokenizer import pre_tokenizer
from llm_inference_api.models.convert.tokenizer.merge_scores import scores_of_merges
from llm_inference_api.models.convert.tokenizer.vocabulary import SPACE_MARK, AddedToken, GgufToken, GgufVocabulary
from llm_inference_api.text.text_preparation import TextPreparation

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
_MARKED = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK}
"""The normalizer that replaces spaces by marks."""
_SPACES = {"always": "each", "first": "first", "never": ""}
"""TextPreparation's `space` by Metaspace's `prepend_scheme`."""
_ALL_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}


def read_added_token(entry: Any, config: Config) -> AddedToken:
    """Returns an added token from its entry in a JSON file.

    Raises:
        ConversionError: The entry, of the file `config`, is malformed or has single_word.
    """
    if not isinstance(entry, dict) or type(entry.get("id")) is not int or not entry.get("content"):
        raise config.error("added_tokens", "a list of objects with id and content", entry)
    if entry.get("single_word"):
        raise ConversionError(
            f"{config.origin}: added token {entry['content']!r} has single_word, which has no equivalent in llama.cpp"
        )
    flags = (bool(entry.get(name)) for name in ("special", "lstrip", "rstrip", "normalized"))
    return AddedToken(entry["id"], str(entry["content"]), *flags)


class TokenizerJson:
    """A parsed tokenizer.json. Raises ConversionError where it is malformed or its model is not a plain BPE."""

    config: Config
    """The whole file."""
    model: Config
    """Its `model`."""
    ids: dict[str, int]
    """Ids by token, without added tokens that are not part of the model."""
    added: list[AddedToken]
    merges: list[tuple[str, str]]
    """First merges first."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.model = config.section("model")
        self.model.require("type", ("BPE",), "BPE" if "merges" in self.model else None)
        for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
            self.model.require(name, (None, "", 0, 0.0))
        self.ids = self._ids()
        self.added = [read_added_token(entry, config) for entry in config.items("added_tokens")]
        self.merges = [self._merge(entry) for entry in self.model.items("merges")]

    def _ids(self) -> dict[str, int]:
        ids = self.model.section("vocab").values
        if not ids or not all(type(id_) is int and 0 <= id_ < 2**31 for id_ in ids.values()):
            raise ConversionError("tokenizer.json: 'model.vocab' must map tokens to ids")
        return dict(ids)

    def _merge(self, entry: Any) -> tuple[str, str]:
        parts = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) for part in parts):
            raise self.model.error("merges", "a list of pairs", entry)
        return parts[0], parts[1]

    @property
    def byte_level(self) -> bool:
        """Whether it is a byte-level BPE, as GPT-2's, rather than one with byte fallback, as sentencepiece's."""
        steps = _steps(self.config.values.get("pre_tokenizer"), "pretokenizers")
        return any(step.get("type") == "ByteLevel" for step in steps)

    def vocabulary(self) -> GgufVocabulary:
        """Returns the vocabulary with added tokens, and the special tokens that the post-processor names.

        Raises:
            MergeOrderError: Scores cannot express the merges.
            ConversionError: Another part has no equivalent in llama.cpp.
        """
        vocabulary = self._byte_level() if self.byte_level else self._byte_fallback()
        self._mark_unknown(vocabulary)
        vocabulary.add(self.added)
        self._read_template(vocabulary)
        return vocabulary

    def _mark_unknown(self, vocabulary: GgufVocabulary) -> None:
        unknown = self.ids.get(str(self.model.values.get("unk_token")))
        if unknown is not None:
            vocabulary.tokens[unknown] = GgufToken(vocabulary.tokens[unknown].text, TokenType.UNKNOWN)

    # Byte-level BPE: Llama 3, Qwen, Phi-2, StableLM.

    def _byte_level(self) -> GgufVocabulary:
        ignore_merges = self.model.flag("ignore_merges", default=False)
        name = pre_tokenizer.recognise(self.config.values.get("pre_tokenizer"), ignore_merges=ignore_merges)
        tokens = {id_: GgufToken(text, TokenType.NORMAL) for text, id_ in self.ids.items()}
        merges = [f"{left} {right}" for left, right in self.merges]
        return GgufVocabulary("gpt2", name, tokens, merges, preparation=TextPreparation(nfc=self._composes()))

    def _composes(self) -> bool:
        kinds = [step.get("type") for step in _steps(self.config.values.get("normalizer"), "normalizers")]
        if kinds not in ([], ["NFC"]):
            raise ConversionError(
                f"tokenizer.json: the normalizer {kinds} before ByteLevel has no equivalent in llama.cpp"
            )
        return kinds == ["NFC"]

    # BPE of sentencepiece with byte fallback: Llama 2, Mistral, Gemma, Phi-3.

    def _byte_fallback(self) -> GgufVocabulary:
        if not self.model.flag("byte_fallback", default=False) or not set(self.ids) >= _ALL_BYTES:
            raise ConversionError("tokenizer.json: a BPE without ByteLevel needs byte_fallback and its 256 byte tokens")
        added = {token.content for token in self.added}
        pieces = {text for text in self.ids if text not in added and not _BYTE_TOKEN.fullmatch(text)}
        # Added tokens are matched before anything is merged, so that their merges have no effect.
        scores = scores_of_merges([pair for pair in self.merges if "".join(pair) not in added], pieces)
        tokens = {self.ids[text]: GgufToken(text, TokenType.NORMAL, scores.get(text, -1e6)) for text in pieces}
        # Byte tokens come later than other tokens of the same id: Gemma's "\t" and its byte share one.
        tokens |= {self.ids[text]: GgufToken(text, TokenType.BYTE) for text in _ALL_BYTES}
        tokens |= {self.ids[text]: GgufToken(text, TokenType.NORMAL) for text in added & set(self.ids)}
        vocabulary = GgufVocabulary("llama", "default", tokens)
        self.place_spaces(vocabulary)
        return vocabulary

    def place_spaces(self, vocabulary: GgufVocabulary) -> None:
        """Sets which texts get a space before them: llama.cpp has all and none, our text preparation the others.

        Raises:
            ConversionError: Normalizer and pre-tokenizer have no equivalent in llama.cpp.
        """
        normal = _steps(self.config.values.get("normalizer"), "normalizers")
        split = _steps(self.config.values.get("pre_tokenizer"), "pretokenizers")
        vocabulary.space_prefix = False
        if normal == [{"type": "Prepend", "prepend": SPACE_MARK}, _MARKED] and not split:
            vocabulary.space_prefix = True
            self._refuse_prefixed()
        elif not normal and [step.get("type") for step in split] == ["Metaspace"]:
            vocabulary.preparation = replace(vocabulary.preparation, space=self._metaspace(split[0]))
        # Gemma's pre-tokenizer splits at spaces, all of which its normalizer has replaced.
        elif normal != [_MARKED] or any(step.get("pattern") != {"String": " "} for step in split):
            shown = ", ".join(str(step.get("type")) for step in (*normal, *split)) or "nothing"
            raise ConversionError(
                f"tokenizer.json: a BPE with byte fallback after {shown} has no equivalent in llama.cpp"
            )

    def _refuse_prefixed(self) -> None:
        """Raises ConversionError for an added token that has become "▁…", so that text has it after a space only.

        Special ones are left: transformers' own templates write them without a space, and mean the token.
        """
        for token in self.added:
            if token.normalized and not token.special:
                raise ConversionError(
                    f"tokenizer.json: added token {token.content!r} is normalized, to {SPACE_MARK + token.content!r}, "
                    "which has no equivalent in llama.cpp"
                )

    def _metaspace(self, step: dict[str, Any]) -> str:
        """Returns TextPreparation's `space` for a Metaspace pre-tokenizer."""
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never")
        inner = any(SPACE_MARK in text.lstrip(SPACE_MARK) or text.startswith(SPACE_MARK * 2) for text in self.ids)
        if step.get("replacement", SPACE_MARK) != SPACE_MARK or (step.get("split", True) and inner):
            raise ConversionError("tokenizer.json: Metaspace that splits between words has no equivalent in llama.cpp")
        if scheme not in _SPACES:
            raise ConversionError(
                f"tokenizer.json: Metaspace's prepend_scheme {scheme!r} must be one of {', '.join(_SPACES)}"
            )
        return _SPACES[scheme]

    # Common to both kinds.

    def _read_template(self, vocabulary: GgufVocabulary) -> None:
        """Sets the special tokens that the post-processor adds before and after a text."""
        for step in _steps(self.config.values.get("post_processor"), "processors"):
            if step.get("type") == "TemplateProcessing":
                before, after = _around_sequence(step)
                if len(before) > 1 or len(after) > 1:
                    raise ConversionError(
                        f"tokenizer.json: the post-processor adds {before + after}; at most one before and one after"
                    )
                vocabulary.add_bos, vocabulary.add_eos = bool(before), bool(after)
                for name, texts in (("bos", before), ("eos", after)):
                    id_ = vocabulary.find(texts[0]) if texts else None
                    if id_ is not None:
                        vocabulary.special_ids[name] = id_
            elif step.get("type") not in ("ByteLevel", None):
                raise ConversionError(
                    f"tokenizer.json: the post-processor {step.get('type')} has no equivalent in llama.cpp"
                )


def _steps(definition: Any, parts: str) -> list[dict[str, Any]]:
    """Returns the steps of a normalizer, pre-tokenizer or post-processor, of which the field `parts` lists several."""
    if not isinstance(definition, dict):
        return []
    if definition.get("type") == "Sequence":
        return [step for part in _listed(definition, parts) for step in _steps(part, parts)]
    return [definition]


def _listed(definition: dict[str, Any], name: str) -> list[Any]:
    value = definition.get(name)
    if not isinstance(value, list):
        raise ConversionError(f"tokenizer.json: {definition.get('type')!r} must have a list {name!r}")
    return value


def _around_sequence(step: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Returns the special tokens before and after the text in a template for a single text."""
    parts = [part for part in _listed(step, "single") if isinstance(part, dict)]
    text = next((index for index, part in enumerate(parts) if "Sequence" in part), len(parts))
    return _special_ids(parts[:text]), _special_ids(parts[text:])


def _special_ids(parts: list[dict[str, Any]]) -> list[str]:
    tokens = [part["SpecialToken"] for part in parts if isinstance(part.get("SpecialToken"), dict)]
    return [str(token.get("id")) for token in tokens]
