"""The tokenizer files of a checkpoint: vocabulary, special tokens and chat template."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from gguf import TokenType

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tokenizer.library_definition import from_definition, from_vocabulary_file
from llm_inference_api.models.convert.tokenizer.merge_scores import MergeOrderError
from llm_inference_api.models.convert.tokenizer.sentencepiece_model import read_sentencepiece
from llm_inference_api.models.convert.tokenizer.tiktoken_file import read_tiktoken
from llm_inference_api.models.convert.tokenizer.tokenizer_json import TokenizerJson, read_added_token
from llm_inference_api.models.convert.tokenizer.vocabulary import AddedToken, GgufVocabulary

_SPECIAL = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
"""transformers' name of each special token by GGUF's."""

_TEMPLATE = "tokenizer.chat_template"
_DEFAULT = "default"
_FOR_TOOLS = ("tool_use", "rag")
"""transformers' names of templates for chats with tools or documents."""


class TokenizerFiles:
    """The files of a directory, of which tokenizer.json comes before tokenizer.model, qwen.tiktoken or vocab.txt.

    Raises ConversionError where tokenizer_config.json or generation_config.json is malformed.
    """

    directory: Path
    model_config: Config
    """config.json."""
    config: Config
    """tokenizer_config.json."""
    generation: Config
    """generation_config.json."""

    def __init__(self, directory: Path, model_config: Config) -> None:
        self.directory = directory
        self.model_config = model_config
        self.config = Config.read_optional(directory / "tokenizer_config.json")
        self.generation = Config.read_optional(directory / "generation_config.json")

    def vocabulary(self) -> GgufVocabulary:
        """Returns the vocabulary with its special tokens.

        Raises:
            ConversionError: A file is missing or malformed, or the tokenizer has no equivalent in llama.cpp.
        """
        vocabulary = self._read()
        self._name_special_tokens(vocabulary)
        return vocabulary

    def encoder_vocabulary(self, *, lowercase: bool) -> GgufVocabulary:
        """Returns the vocabulary of an encoder, which the `tokenizers` library tokenizes for.

        Args:
            lowercase: Whether texts are converted to lower case, whatever the files say.

        Raises:
            ConversionError: A file is missing or malformed.
        """
        if self._has("tokenizer.json"):
            return from_definition(Config.read(self.directory / "tokenizer.json"), self.config, lowercase=lowercase)
        if self._has("vocab.txt"):
            return from_vocabulary_file(self.directory / "vocab.txt", self.config, lowercase=lowercase)
        raise ConversionError(f"{self.directory.name}: needs tokenizer.json or vocab.txt")

    def _read(self) -> GgufVocabulary:
        if self._has("tokenizer.json"):
            return self._from_json()
        if self._has("tokenizer.model"):
            return self._from_sentencepiece()
        if self._has("qwen.tiktoken"):
            return read_tiktoken(self.directory / "qwen.tiktoken")
        raise ConversionError(f"{self.directory.name}: needs tokenizer.json, tokenizer.model or qwen.tiktoken")

    def _has(self, name: str) -> bool:
        return (self.directory / name).is_file()

    def _from_json(self) -> GgufVocabulary:
        definition = TokenizerJson(Config.read(self.directory / "tokenizer.json"))
        try:
            vocabulary = definition.vocabulary()
        except MergeOrderError:
            if not self._has("tokenizer.model"):
                raise
            return self._from_sentencepiece(definition)
        # transformers builds a missing template of sentencepiece tokenizers from these flags.
        vocabulary.add_bos |= self.config.flag("add_bos_token", default=False) and vocabulary.model == "llama"
        vocabulary.add_eos |= self.config.flag("add_eos_token", default=False) and vocabulary.model == "llama"
        return vocabulary

    def _from_sentencepiece(self, definition: TokenizerJson | None = None) -> GgufVocabulary:
        """Returns the vocabulary of tokenizer.model, with spaces and added tokens as a tokenizer.json defines them."""
        vocabulary = read_sentencepiece(self.directory / "tokenizer.model").vocabulary()
        if definition is not None:
            definition.place_spaces(vocabulary)
        else:
            self._place_spaces(vocabulary)
        vocabulary.add(self._added_tokens() if definition is None else definition.added)
        if definition is None and vocabulary.preparation.space:
            _name_pieces(vocabulary)
        vocabulary.add_bos = self.config.flag("add_bos_token", default=True)
        vocabulary.add_eos = self.config.flag("add_eos_token", default=False)
        return vocabulary

    def _place_spaces(self, vocabulary: GgufVocabulary) -> None:
        """Sets which texts get a space before them as transformers does for tokenizer.model (LlamaConverter)."""
        vocabulary.space_prefix = bool(vocabulary.space_prefix) and self.config.flag("add_prefix_space", default=True)
        if vocabulary.space_prefix and not self.config.flag("legacy", default=True):
            # Not again after each special token.
            vocabulary.space_prefix = False
            vocabulary.preparation = replace(vocabulary.preparation, space="first")

    def _added_tokens(self) -> list[AddedToken]:
        """Returns the added tokens of added_tokens.json; entries of tokenizer_config.json, which say more, win."""
        listed = Config.read_optional(self.directory / "added_tokens.json").values
        described = self.config.section("added_tokens_decoder").values
        tokens = {id_: AddedToken(id_, content, special=False) for content, id_ in listed.items() if type(id_) is int}
        for key, entry in described.items():
            if not key.isdecimal() or not isinstance(entry, dict):
                raise self.config.error("added_tokens_decoder", "an object of tokens by id", entry)
            tokens[int(key)] = read_added_token({"id": int(key)} | entry, self.config)
        return list(tokens.values())

    def _name_special_tokens(self, vocabulary: GgufVocabulary) -> None:
        by_text = {token.text: id_ for id_, token in vocabulary.tokens.items()}
        for name, field in _SPECIAL.items():
            id_ = by_text.get(_token_text(self.config.values.get(f"{field}_token")) or "")
            if id_ is None:
                id_ = self._configured_id(f"{field}_token_id", vocabulary)
            id_ = vocabulary.default_ids.get(name) if id_ is None else id_
            if id_ is not None:
                vocabulary.special_ids.setdefault(name, id_)
        others = [id_ for id_ in self._end_ids(vocabulary) if id_ != vocabulary.special_ids.get("eos")]
        # llama.cpp has two more tokens that end a reply.
        vocabulary.special_ids.update(zip(("eot", "eom"), others, strict=False))
        # llama.cpp aborts where it has to add a token that is not set.
        for name, added in (("bos", vocabulary.add_bos), ("eos", vocabulary.add_eos)):
            if added and name not in vocabulary.special_ids:
                raise ConversionError(f"tokenizer_config.json: '{name}_token' is missing, which is added to texts")

    def _configured_id(self, name: str, vocabulary: GgufVocabulary) -> int | None:
        for config in (self.model_config, self.generation):
            value = config.values.get(name)
            value = value[0] if isinstance(value, list) and value else value
            if type(value) is int and value in vocabulary.tokens:
                return value
        return None

    def _end_ids(self, vocabulary: GgufVocabulary) -> list[int]:
        listed: list[Any] = []
        for config in (self.generation, self.model_config):
            value = config.values.get("eos_token_id")
            listed += value if isinstance(value, list) else [value]
        return list(dict.fromkeys(id_ for id_ in listed if type(id_) is int and id_ in vocabulary.tokens))

    def chat_template(self) -> Metadata:
        """Returns the metadata of the chat templates, of which there may be none or several named ones.

        As in transformers, chat_template.jinja comes before tokenizer_config.json, and that before chat_template.json.

        Raises:
            ConversionError: A file is not UTF-8 or not JSON.
        """
        return _metadata(self._templates())

    def _templates(self) -> dict[str, str]:
        """Returns the templates by name."""
        own = self.directory / "chat_template.jinja"
        more = sorted((self.directory / "additional_chat_templates").glob("*.jinja"))
        if own.is_file() or more:
            files = {**({_DEFAULT: own} if own.is_file() else {}), **{path.stem: path for path in more}}
            return {name: _read_text(path) for name, path in files.items()}
        template = self.config.values.get("chat_template")
        if template is None:
            template = Config.read_optional(self.directory / "chat_template.json").values.get("chat_template")
        if isinstance(template, list):
            return _named_templates(template)
        if isinstance(template, dict):
            return {name: text for name, text in template.items() if isinstance(text, str)}
        return {_DEFAULT: template} if isinstance(template, str) else {}


def _name_pieces(vocabulary: GgufVocabulary) -> None:
    """Adds sentencepiece's own special pieces to the tokens before which no space is put, as added tokens are."""
    preparation, tokens = vocabulary.preparation, vocabulary.tokens.values()
    controls = (token.text for token in tokens if token.kind in (TokenType.CONTROL, TokenType.UNKNOWN))
    plain = (token.text for token in tokens if token.kind is TokenType.USER_DEFINED)
    vocabulary.preparation = replace(
        preparation,
        controls=tuple(dict.fromkeys((*preparation.controls, *controls))),
        plain=tuple(dict.fromkeys((*preparation.plain, *plain))),
    )


def _named_templates(templates: list[Any]) -> dict[str, str]:
    pairs = [(t.get("name"), t.get("template")) for t in templates if isinstance(t, dict)]
    return {name: text for name, text in pairs if isinstance(name, str) and isinstance(text, str)}


def _metadata(templates: dict[str, str]) -> Metadata:
    """Returns the templates as GGUF metadata. Where none is the default one, the first for chats without tools is."""
    if not templates:
        return {}
    metadata: Metadata = {f"{_TEMPLATE}.{name}": text for name, text in templates.items() if name != _DEFAULT}
    first = next((name for name in templates if name not in _FOR_TOOLS), next(iter(templates)))
    metadata[_TEMPLATE] = templates.get(_DEFAULT, templates[first])
    others = [name for name in templates if name != _DEFAULT]
    return metadata | ({"tokenizer.chat_templates": others} if others else {})


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except ValueError as error:
        raise ConversionError(f"{path.name}: not UTF-8 text") from error


def _token_text(entry: object) -> str | None:
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None
