"""Legacy files that are whole, and others."""

import json
import struct
from pathlib import Path

import pytest

from llm_inference_api.backends.ggml import file as ggml_file
from llm_inference_api.errors import ModelFailedError
from tests.fakes.ggml import VOCABULARY, write_tiny_model


def test_file_says_what_it_holds(tmp_path: Path) -> None:
    """Sizes and vocabulary come from the file, the architecture from the config.json beside it."""
    path = write_tiny_model(tmp_path)
    file = ggml_file.read(path)
    assert ggml_file.is_legacy(path)
    assert file.architecture == "gpt2"
    assert file.pieces == VOCABULARY
    assert file.shape == ggml_file.FileShape(context_length=128, width=32, layers=2, parameters=46528)


@pytest.mark.parametrize(
    ("name", "architecture"),
    [("gpt_bigcode", "starcoder"), ("dolly-v2", "dollyv2"), ("GPT-J", "gptj"), ("falcon", "falcon")],
)
def test_architectures_have_several_spellings(tmp_path: Path, name: str, architecture: str) -> None:
    """What the hub and ctransformers call an architecture is the same one."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
    assert ggml_file._architecture(tmp_path / "model.bin") == architecture


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (None, "does not name its architecture"),
        ("{}", "has no model_type"),
        ("[]", "has no model_type"),
        ("not JSON", "has no model_type"),
        ('{"model_type": "bert"}', "'bert' is not supported"),
    ],
)
def test_unknown_architecture_is_explained(tmp_path: Path, config: str | None, problem: str) -> None:
    """Without a usable config.json the reason says what it must hold, and shows no path."""
    path = write_tiny_model(tmp_path)
    (tmp_path / "config.json").unlink()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelFailedError, match=rf"{problem}.*model_type.*gpt2") as error:
        ggml_file.read(path)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("part", [0.001, 0.01, 0.3, 0.9, 0.9999])
def test_truncated_file_is_refused(tmp_path: Path, part: float) -> None:
    """ctransformers would load it and compute with whatever the memory held."""
    path = write_tiny_model(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ModelFailedError, match="damaged"):
        ggml_file.read(path)


def test_file_without_its_last_tensors_is_refused(tmp_path: Path) -> None:
    """A file that was cut between two tensors lacks some of a layer."""
    path = write_tiny_model(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"model/h1/mlp/c_fc/w") - 20])
    with pytest.raises(ModelFailedError, match="tensors of its 2 layers are missing"):
        ggml_file.read(path)


@pytest.mark.parametrize("at", range(1, 7))
@pytest.mark.parametrize("number", [-1, 0, 2**31 - 1])
def test_hostile_sizes_are_refused(tmp_path: Path, at: int, number: int) -> None:
    """Sizes that would overrun memory end here."""
    path = write_tiny_model(tmp_path)
    data = bytearray(path.read_bytes())
    struct.pack_into("<i", data, 4 * (at if at < 6 else 7), number)
    path.write_bytes(data)
    with pytest.raises(ModelFailedError, match="damaged"):
        ggml_file.read(path)


def test_another_architectures_file_is_refused(tmp_path: Path) -> None:
    """A config.json that names the wrong architecture is noticed before anything is loaded."""
    path = write_tiny_model(tmp_path)
    for name in ("gptj", "gpt_neox", "mpt", "replit", "dolly-v2"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": name}))
        with pytest.raises(ModelFailedError, match="or is not a"):
            ggml_file.read(path)


def test_other_files_are_no_legacy_ones(tmp_path: Path) -> None:
    """The magic bytes decide, not the name; a `.bin` of neither kind is refused with a reason."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"GGUF....")
    assert not ggml_file.is_legacy(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelFailedError, match="neither the magic number of GGUF nor"):
        ggml_file.is_legacy(path)
    path.write_bytes(b"algg")
    with pytest.raises(ModelFailedError, match="adapter"):
        ggml_file.is_legacy(path)
    (tmp_path / "model.gguf").write_bytes(b"lmgg")
    assert ggml_file.is_legacy(tmp_path / "model.gguf")
    assert not ggml_file.is_legacy(tmp_path / "missing.bin")
