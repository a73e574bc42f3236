"""Token ids of converted tokenizers compared with those of tokenizers, sentencepiece and tiktoken."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.models.convert.llama_file import LlamaFile, opened
from tests.models.convert.seeded_checkpoint import FIXTURES, TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint
from tools.conversion_fixtures.corpus import plain_lines

KINDS = sorted(path.name for path in (FIXTURES / "tokenizers").iterdir())


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def llama(kind: str, tmp_path: Path, converted: Callable[..., Path]) -> Iterator[LlamaFile]:
    checkpoint = write_checkpoint(tmp_path / kind, TINY_LLAMA, TINY_LLAMA_SHAPES, kind)
    with opened(converted(checkpoint), vocab_only=True) as file:
        yield file


def recorded(kind: str, part: str) -> list[list[int]]:
    arrays = np.load(FIXTURES / "tokenizers" / kind / "reference.npz")
    ends = np.cumsum(arrays[f"{part}_lengths"].astype(int))
    return [ids.tolist() for ids in np.split(arrays[f"{part}_ids"], ends)[:-1]]


def mixed_lines(kind: str) -> list[str]:
    return json.loads((FIXTURES / "tokenizers" / kind / "special_lines.json").read_text())


def differing(
    lines: list[str], ids: list[list[int]], wanted: list[list[int]]
) -> list[tuple[str, list[int], list[int]]]:
    rows = zip(lines, ids, wanted, strict=True)
    return [(line, got, want) for line, got, want in rows if got != want]


def test_plain_text_gets_the_same_ids(kind: str, llama: LlamaFile) -> None:
    """2,200 lines of scripts, digits, code, white space and emoji have the recorded ids."""
    lines = plain_lines()

    ids = [llama.tokens(llama.preparation.apply(line)) for line in lines]

    assert len(lines) >= 2000
    assert differing(lines, ids, recorded(kind, "plain")) == []


def test_special_tokens_in_a_prompt_are_parsed(kind: str, llama: LlamaFile) -> None:
    """Added tokens in a prompt, and the text between them, have the recorded ids."""
    lines = mixed_lines(kind)

    ids = [llama.tokens(llama.preparation.apply(line)) for line in lines]

    assert differing(lines, ids, recorded(kind, "special")) == []


def test_special_tokens_in_content_stay_text(kind: str, llama: LlamaFile) -> None:
    """Control tokens in chat content are tokenized as plain characters."""
    lines = mixed_lines(kind)

    ids = [llama.tokens(llama.preparation.apply_to_content(line), specials=False, around=False) for line in lines]

    assert differing(lines, ids, recorded(kind, "text")) == []


def test_the_sentencepiece_model_replaces_merges_that_scores_cannot_express(
    tmp_path: Path, converted: Callable[..., Path]
) -> None:
    """Where no scores express the merges of tokenizer.json, those of tokenizer.model are used."""
    checkpoint = write_checkpoint(tmp_path / "m", TINY_LLAMA, TINY_LLAMA_SHAPES, "phi3")
    definition = json.loads((checkpoint / "tokenizer.json").read_text())
    definition["model"]["merges"].pop(3)
    (checkpoint / "tokenizer.json").write_text(json.dumps(definition))

    with opened(converted(checkpoint), vocab_only=True) as file:
        for part, lines in (("plain", plain_lines()), ("special", mixed_lines("phi3"))):
            ids = [file.tokens(file.preparation.apply(line)) for line in lines]
            assert differing(lines, ids, recorded("phi3", part)) == []


def test_tokens_decode_to_their_text(kind: str, llama: LlamaFile) -> None:
    """The joined pieces of a text's tokens are the text, after the space that some tokenizers add."""
    for line in plain_lines()[:300]:
        prepared = llama.preparation.apply(line)
        pieces = b"".join(llama.piece(token) for token in llama.tokens(prepared, around=False))
        assert pieces.decode() in (prepared, " " + prepared)
