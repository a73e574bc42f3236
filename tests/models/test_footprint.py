from pathlib import Path

import pytest

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.footprint import estimate, read_header
from llm_inference_api.requests.engine_config import ContextChoice
from tests.fakes.gguf import write_tiny_encoder, write_tiny_model


def test_cache_is_counted_by_its_cells(tiny_model: Path) -> None:
    """2 layers x 2 heads x (16 + 16) numbers of 2 bytes make 256 bytes a cell; four contexts of 2048 by default."""
    assert estimate([tiny_model], ContextChoice()).cache == 4 * 2048 * 256
    assert estimate([tiny_model], ContextChoice(length=100)).cache == 4 * 100 * 256
    assert estimate([tiny_model], ContextChoice(cache_tokens=5000)).cache == 5000 * 256


def test_weights_are_all_parts_of_the_file(tiny_model: Path) -> None:
    """The parts of a split model count together."""
    size = tiny_model.stat().st_size
    assert estimate([tiny_model, tiny_model], ContextChoice()).weights == 2 * size


def test_header_has_the_scalars(tiny_model: Path) -> None:
    """Numbers and texts are read, arrays are passed over."""
    header = read_header(tiny_model)
    assert header["general.architecture"] == "llama"
    assert header["llama.block_count"] == 2
    assert "tokenizer.ggml.tokens" not in header


@pytest.mark.parametrize("name", ["empty", "garbage"])
def test_file_without_a_header_is_refused(model_directory: Path, name: str) -> None:
    """What is no GGUF file is an error."""
    with pytest.raises(ModelFailedError, match="not a GGUF file"):
        read_header(model_directory / f"{name}.gguf")


def test_damaged_headers_never_hang_or_crash(tmp_path: Path) -> None:
    """Whatever the header's bytes say, it is read or refused, at once."""
    whole = write_tiny_model(tmp_path / "m.gguf").read_bytes()[:8000]
    damaged = tmp_path / "damaged.gguf"
    for at in range(0, 2000, 7):
        damaged.write_bytes(whole[:at] + b"\xff" * 4 + whole[at + 4 :])
        try:
            read_header(damaged)
        except ModelFailedError:
            continue


def test_embeddings_are_counted(tmp_path: Path, tiny_model: Path) -> None:
    """A decoder's need a cache of one context, an encoder's the scores of all tokens, 4 bytes for each of 4 heads."""
    assert estimate([tiny_model], ContextChoice(length=100)).embeddings == 100 * 256
    encoder = estimate([write_tiny_encoder(tmp_path / "encoder.gguf")], ContextChoice())
    assert (encoder.cache, encoder.embeddings) == (0, 4 * 64**2 * 4)
