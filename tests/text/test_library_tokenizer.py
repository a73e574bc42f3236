"""Tokenizers that the tokenizers library runs, from a directory or from a GGUF file's metadata."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.text.library_tokenizer import LibraryTokenizer, load_tokenizer

WORDS = ("[UNK]", "[SEP]", "a", "cat", "sep", "[", "]")


@dataclass
class Vocabulary:
    """A model's, whose own tokenizer gives one id, whatever the text."""

    size: int = len(WORDS)
    longest_piece: int = 5

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return [0]


def library(words: tuple[str, ...] = WORDS) -> Tokenizer:
    """Returns a tokenizer of words, which adds [SEP] at the end."""
    tokenizer = Tokenizer(models.WordLevel({word: id_ for id_, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("[SEP]", special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 1)])
    return tokenizer


def plain(tokenizer: LibraryTokenizer, text: str) -> list[int]:
    return tokenizer.tokenize(text, add_special=True, parse_special=False)


def test_special_tokens_are_added_where_asked() -> None:
    """As the definition's post-processor says."""
    tokenizer = LibraryTokenizer(library().to_str(), Vocabulary())
    assert plain(tokenizer, "a cat") == [2, 3, 1]
    assert tokenizer.tokenize("a cat", add_special=False, parse_special=False) == [2, 3]


def test_definition_that_truncates_and_pads_does_neither() -> None:
    """It is saved with what it was last used for: all-MiniLM-L6-v2's with 128 tokens of padding."""
    definition = library()
    definition.enable_truncation(3)
    definition.enable_padding(length=8, pad_id=0)
    assert plain(LibraryTokenizer(definition.to_str(), Vocabulary()), "a cat a cat a") == [2, 3, 2, 3, 2, 1]


def test_special_tokens_in_a_text_are_parsed_only_in_prompts() -> None:
    """In content they are characters as others."""
    tokenizer = LibraryTokenizer(library().to_str(), Vocabulary())
    assert tokenizer.tokenize("a [SEP]", add_special=False, parse_special=True) == [2, 1]
    assert 1 not in tokenizer.tokenize("a [SEP]", add_special=False, parse_special=False)


def test_tokenizer_with_an_id_that_the_model_lacks_is_refused() -> None:
    """Its number would be read beyond the embedding."""
    with pytest.raises(ModelFailedError, match="has 8 tokens and the model 7"):
        LibraryTokenizer(library((*WORDS, "dog")).to_str(), Vocabulary())


@pytest.mark.parametrize("definition", ["", "{}", "[]", '{"model": {"type": "X"}}'])
def test_definition_that_is_none_is_refused_by_name(definition: str) -> None:
    """The error has the file's name."""
    with pytest.raises(ModelFailedError, match=r"tokenizer\.json is not a valid tokenizer"):
        LibraryTokenizer(definition, Vocabulary())


def test_directory_comes_before_metadata_and_that_before_llama_cpp(tmp_path: Path) -> None:
    """Whoever names a tokenizer wants that one."""
    metadata = {"tokenizer.huggingface.json": library(("[UNK]", "[SEP]", "cat", "a")).to_str()}
    loaded = [load_tokenizer(None, Vocabulary()), load_tokenizer(tmp_path, Vocabulary(), metadata)]
    library().save(str(tmp_path / "tokenizer.json"))
    loaded.append(load_tokenizer(tmp_path, Vocabulary(), metadata))
    assert [each.tokenize("cat", add_special=False, parse_special=False) for each in loaded] == [[0], [2], [3]]


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """By its name."""
    (tmp_path / "tokenizer.json").write_bytes(b"\xff")
    with pytest.raises(ModelFailedError, match=r"tokenizer\.json is not UTF-8"):
        load_tokenizer(tmp_path, Vocabulary())
