"""Tokens and texts of legacy models; ctransformers' own tokenizer is the measure."""

import platform
import time

import pytest

from llm_inference_api.backends.ggml import file as ggml_file
from llm_inference_api.backends.ggml.backend import GgmlModel, NativeVocabulary
from llm_inference_api.backends.ggml.vocabulary import GreedyVocabulary, WeighedVocabulary
from llm_inference_api.errors import InvalidFieldError
from tests.fakes.ggml import ARCHITECTURES, VOCABULARY, write_tiny_model

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="ctransformers brings a library for x86-64 only"
)
END = "<|endoftext|>"
TEXTS = [
    "the theatre, they're there!",
    "it's  two   spaces\n\n\ttabs \r\n and an end   ",
    "Grüße, 世界! 世 世😀 😀 ñ Ω Привет مرحبا עברית ไทย हिन्दी 한국어",
    "1234 12345 x1234y 3.14 <|endoftext|> 'll 'LL we've",
    "    four    spaces",
    "\x0b\x0c\x1f\x7f\u00a0\u2028",
]


def tokenize(vocabulary: GreedyVocabulary | WeighedVocabulary, text: str, *, special: bool = True) -> list[int]:
    return vocabulary.tokenize(text, add_special=True, parse_special=special)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GgmlModel:
    return load(tmp_path_factory, "gpt2")


def load(tmp_path_factory: pytest.TempPathFactory, architecture: str) -> GgmlModel:
    path = write_tiny_model(tmp_path_factory.mktemp("legacy"), architecture=architecture)
    return GgmlModel(path, ggml_file.read(path), None)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tokens_are_those_of_ctransformers(tmp_path_factory: pytest.TempPathFactory, architecture: str) -> None:
    """The same text has the same tokens in each architecture, and they spell it."""
    model = load(tmp_path_factory, architecture)
    theirs = NativeVocabulary(model.llm)
    for text in TEXTS:
        if architecture == "replit" and END in text:
            continue  # It has a token for this text, which a prompt must not become.
        tokens = model.vocabulary.tokenize(text, add_special=True, parse_special=True)
        assert tokens == theirs.tokenize(text, add_special=True, parse_special=True)
        assert b"".join(map(model.vocabulary.piece, tokens)).decode() == text


def test_control_tokens_have_no_text_and_end_the_answer(model: GgmlModel) -> None:
    """The end token is found by its text, and not wherever the vocabulary lacks one."""
    end = len(VOCABULARY) - 1
    assert model.vocabulary.is_end(end)
    assert model.vocabulary.piece(end) == b""
    assert not GreedyVocabulary([b"a", b"b"], ()).is_end(0)


def test_special_texts_are_parsed_where_asked() -> None:
    """Special tokens of StarChat and Dolly are one token, or their letters."""
    letters = [bytes([byte]) for byte in range(256)]
    vocabulary = GreedyVocabulary([*letters, b"<|user|>", b"<|end|>"], [b"<|user|>", b"<|end|>", b"### End"])
    assert tokenize(vocabulary, "a<|user|>b<|end|>") == [97, 256, 98, 257]
    assert len(tokenize(vocabulary, "<|user|>", special=False)) == 8
    assert vocabulary.control_texts() == ["<|user|>", "<|end|>"]
    assert vocabulary.is_end(257)


def test_text_that_the_vocabulary_cannot_spell_is_refused() -> None:
    """No byte of a prompt is dropped silently."""
    for vocabulary in (GreedyVocabulary([b"a", b" b"], ()), WeighedVocabulary([b"a"], [0.0])):
        with pytest.raises(InvalidFieldError, match="0x63"):
            tokenize(vocabulary, "ac")


def test_best_scores_win() -> None:
    """Of all ways to spell a text the one with the best scores is taken, and a space is part of words."""
    pieces = [b"<unk>", b"<|endoftext|>", b"a", b"b", b"ab", b"abc", b"c", "▁ab".encode()]
    vocabulary = WeighedVocabulary(pieces, [0.0, 0.0, -1.0, -1.0, -3.0, -9.0, -1.0, -0.5])
    assert tokenize(vocabulary, "abc") == [2, 3, 6]
    assert tokenize(vocabulary, "c ab") == [6, 7]
    assert vocabulary.piece(7) == b" ab"
    assert vocabulary.is_end(1)
    assert not vocabulary.is_end(0)


def test_long_word_takes_linear_time(model: GgmlModel) -> None:
    """A hundred thousand letters in a row are cut at once; ctransformers would take hours."""
    started = time.process_time()
    assert len(model.vocabulary.tokenize("x" * 100_000, add_special=True, parse_special=True)) == 100_000
    assert time.process_time() - started < 5
