"""Tokenizers of encoders, which the `tokenizers` library runs when the model is served.

llama.cpp normalizes the text of WordPiece and Unigram otherwise. The GGUF file holds the whole definition, and the
vocabulary in llama.cpp's form too, from which the service takes the tokens' texts.
"""

import json
from pathlib import Path
from typing import Any

from gguf import TokenType
from tokenizers import Tokenizer

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tokenizer.vocabulary import SPACE_MARK, GgufToken, GgufVocabulary

_FORMS = {"WordPiece": "bert", "Unigram": "t5", "BPE": "gpt2"}
"""llama.cpp's form of a vocabulary by the library's name of the algorithm."""
_CONTINUATION = "##"
_NORMALIZER_FIELDS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""Fields of tokenizers' BertNormalizer by those of tokenizer_config.json."""
_SPECIAL = {"bos": "cls", "seperator": "sep", "unknown": "unk", "padding": "pad", "mask": "mask"}
"""transformers' name of each special token by GGUF's, which are misspelled."""


def from_definition(definition: Config, config: Config, *, lowercase: bool) -> GgufVocabulary:
    """Returns the vocabulary of a tokenizer, with the definition for the `tokenizers` library.

    Args:
        definition: tokenizer.json.
        config: tokenizer_config.json, whose options of the normalizer win, as in transformers.
        lowercase: Whether texts are converted to lower case before everything else.

    Raises:
        ConversionError: The library cannot run the definition, or llama.cpp has no vocabulary of this form.
    """
    model = definition.section("model")
    model.require("type", tuple(_FORMS), "BPE" if "merges" in model else None)
    model.require("continuing_subword_prefix", (_CONTINUATION, "", None), _CONTINUATION)
    # A tokenizer.json is often saved with the padding and truncation of its last use.
    values: dict[str, Any] = {**definition.values, "truncation": None, "padding": None}
    values["normalizer"] = _normalizer(values.get("normalizer"), config, lowercase=lowercase)
    text = json.dumps(values, ensure_ascii=False)
    tokenizer = _run(text, definition.origin)
    return _vocabulary(tokenizer, Config(json.loads(tokenizer.to_str()), definition.origin), text, config)


def from_vocabulary_file(path: Path, config: Config, *, lowercase: bool) -> GgufVocabulary:
    """Returns the vocabulary of a vocab.txt: a token a line, and BERT's usual steps. See `from_definition`."""
    try:
        tokens = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except ValueError as error:
        raise ConversionError(f"{path.name}: not UTF-8 text") from error
    ids = {token.removesuffix("\r"): id_ for id_, token in enumerate(tokens)}
    special = {field: _special_text(config, field) for field in _SPECIAL.values()}
    missing = sorted(text for field, text in special.items() if field != "mask" and text not in ids)
    if missing:
        raise ConversionError(f"{path.name}: the token {missing[0]!r} is missing")
    before, after = special["cls"], special["sep"]
    definition = {
        "version": "1.0",
        "added_tokens": [
            {"id": ids[text], "content": text, "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for text in special.values()
            if text in ids
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": [after, ids[after]], "cls": [before, ids[before]]},
        "decoder": {"type": "WordPiece", "prefix": _CONTINUATION, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": special["unk"],
            "continuing_subword_prefix": _CONTINUATION,
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }
    return from_definition(Config(definition, path.name), config, lowercase=lowercase)


def _normalizer(normalizer: Any, config: Config, *, lowercase: bool) -> Any:
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        stated = {field: config.values[name] for name, field in _NORMALIZER_FIELDS.items() if name in config.values}
        normalizer = normalizer | stated
        lowercase = lowercase and not normalizer.get("lowercase")
    if not lowercase:
        return normalizer
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *([normalizer] if normalizer else [])]}


def _run(text: str, origin: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(text)
    except Exception as error:  # The library raises nothing more specific.
        raise ConversionError(f"{origin}: not a tokenizer that the tokenizers library runs ({error})") from error


def _vocabulary(tokenizer: Tokenizer, definition: Config, text: str, config: Config) -> GgufVocabulary:
    """Returns the vocabulary of a tokenizer, whose `definition` is as the library writes it."""
    model = definition.section("model")
    kind = model.text("type")
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    ids = tokenizer.get_vocab(with_added_tokens=True)
    tokens = {id_: _token(kind, text, is_added=text in added) for text, id_ in ids.items()}
    special = {name: ids.get(_special_text(config, field)) for name, field in _SPECIAL.items()}
    special_ids = {name: id_ for name, id_ in special.items() if id_ is not None}
    if "bos" in special_ids:
        special_ids["cls"] = special_ids["bos"]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model.items("merges")]
    return GgufVocabulary(_FORMS[kind], "default", tokens, merges, special_ids=special_ids, definition=text)


def _token(kind: str, text: str, *, is_added: bool) -> GgufToken:
    """Returns a token in llama.cpp's form, in which WordPiece marks the start of a word, not its continuation."""
    if is_added:
        return GgufToken(text, TokenType.CONTROL)
    if kind == "WordPiece":
        text = text.removeprefix(_CONTINUATION) if text.startswith(_CONTINUATION) else SPACE_MARK + text
    return GgufToken(text, TokenType.NORMAL)


def _special_text(config: Config, field: str) -> str:
    """Returns the text of a special token; BERT's where tokenizer_config.json does not say."""
    entry = config.values.get(f"{field}_token")
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else f"[{field.upper()}]"
