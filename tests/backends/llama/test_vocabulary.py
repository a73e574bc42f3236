"""Control tokens in the text of answers."""

from pathlib import Path

import pytest

from llm_inference_api.backends.llama.backend import LlamaModel
from llm_inference_api.backends.llama.vocabulary import Vocabulary
from llm_inference_api.requests.engine_config import GpuChoice
from tests.fakes.gguf import SPECIAL, write_tiny_model

TOKENS = (*SPECIAL, "<|call|>", "<|sep|>", "<|other|>")


@pytest.fixture
def vocabulary(tmp_path: Path) -> Vocabulary:
    path = write_tiny_model(tmp_path / "tiny.gguf", special=TOKENS)
    return LlamaModel(path, GpuChoice(), on_progress=lambda fraction: None).vocabulary


def text_of(vocabulary: Vocabulary, text: str) -> str:
    """Returns what an answer of the text's tokens is told as."""
    tokens = vocabulary.tokenize(text, add_special=False, parse_special=True)
    return b"".join(map(vocabulary.piece, tokens)).decode()


def test_control_tokens_are_no_text(vocabulary: Vocabulary) -> None:
    """They are the template's structure."""
    assert text_of(vocabulary, "a<|call|>f<|sep|>{}<|end|>") == "af{}"


def test_control_tokens_of_markers_stay(vocabulary: Vocabulary) -> None:
    """By them calls and thoughts are known: also those that are a part of a marker, and no others."""
    vocabulary.keep(["<|call|>", 'function<|sep|>"', "x"])
    assert text_of(vocabulary, "a<|call|>f<|sep|>{}<|other|><|end|>") == "a<|call|>f<|sep|>{}"


def test_texts_of_control_tokens_do_not_depend_on_what_is_kept(vocabulary: Vocabulary) -> None:
    """Messages are searched for all of them."""
    before = vocabulary.control_texts()
    vocabulary.keep(["<|call|>"])
    assert vocabulary.control_texts() == before == [*TOKENS]
