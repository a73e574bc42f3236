"""WordPiece, which the `tokenizers` library runs when the model is served: llama.cpp normalizes text otherwise.

The GGUF file holds the whole definition. Its vocabulary is in llama.cpp's form too: other programs read that, and the
service takes the tokens' texts from it.
"""

import json
from pathlib import Path
from typing import Any

from gguf import TokenType
from tokenizers import Tokenizer

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tokenizer.vocabulary import SPACE_MARK, GgufToken, GgufVocabulary

_CONTINUATION = "##"
_NORMALIZER_FIELDS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
"""Fields of tokenizers' BertNormalizer by those of tokenizer_config.json."""
_SPECIAL = {"bos": "cls", "seperator": "sep", "unknown": "unk", "padding": "pad", "mask": "mask"}
"""transformers' name of each special token by GGUF's, which are misspelled."""


def is_library_definition(definition: Config) -> bool:
    """Returns whether the tokenizer.json is one of those that this module converts."""
    return definition.section("model").values.get("type") == "WordPiece"


def from_definition(definition: Config, config: Config, *, lowercase: bool) -> GgufVocabulary:
    """Returns the vocabulary of a WordPiece tokenizer, with the definition for the `tokenizers` library.

    Args:
        definition: tokenizer.json.
        config: tokenizer_config.json, whose options of the normalizer win, as in transformers.
        lowercase: Whether texts are converted to lower case before everything else.

    Raises:
        ConversionError: The library cannot run the definition, or it is not BERT's WordPiece.
    """
    definition.section("model").require("continuing_subword_prefix", (_CONTINUATION,), _CONTINUATION)
    # A tokenizer.json is often saved with the padding and truncation of its last use.
    values: dict[str, Any] = {**definition.values, "truncation": None, "padding": None}
    values["normalizer"] = _normalizer(values.get("normalizer"), config, lowercase=lowercase)
    text = json.dumps(values, ensure_ascii=False)
    tokenizer = _run(text, definition.origin)
    return _vocabulary(tokenizer, text, config)


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


def _vocabulary(tokenizer: Tokenizer, text: str, config: Config) -> GgufVocabulary:
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    ids = tokenizer.get_vocab(with_added_tokens=True)
    tokens = {id_: _token(text, is_added=text in added) for text, id_ in ids.items()}
    special = {name: ids.get(_special_text(config, field)) for name, field in _SPECIAL.items()}
    special_ids = {name: id_ for name, id_ in special.items() if id_ is not None}
    if "bos" in special_ids:
        special_ids["cls"] = special_ids["bos"]
    return GgufVocabulary("bert", "default", tokens, special_ids=special_ids, definition=text)


def _token(text: str, *, is_added: bool) -> GgufToken:
    """Returns a token in llama.cpp's form, which marks the start of a word rather than its continuation."""
    if is_added:
        return GgufToken(text, TokenType.CONTROL)
    is_continued = text.startswith(_CONTINUATION)
    return GgufToken(text.removeprefix(_CONTINUATION) if is_continued else SPACE_MARK + text, TokenType.NORMAL)


def _special_text(config: Config, field: str) -> str:
    """Returns the text of a special token; BERT's where tokenizer_config.json does not say."""
    entry = config.values.get(f"{field}_token")
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else f"[{field.upper()}]"
