"""Checkpoints that must be refused, with an error that names the file or field at fault."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_inference_api.models.convert.errors import ConversionError, UnsupportedArchitectureError
from llm_inference_api.models.convert.families import SUPPORTED_ARCHITECTURES
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint

Convert = Callable[..., Path]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def change_config(checkpoint: Path, **changes: object) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tokenizer(checkpoint: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = checkpoint / "tokenizer.json"
    definition = json.loads(path.read_text())
    change(definition)
    path.write_text(json.dumps(definition))


def test_an_unknown_architecture_names_those_that_are_supported(tiny_llama: Path, converted: Convert) -> None:
    """The error has the architecture's name and the list of supported ones."""
    change_config(tiny_llama, architectures=["FalconForCausalLM"])

    with pytest.raises(UnsupportedArchitectureError, match="FalconForCausalLM") as refusal:
        converted(tiny_llama)

    assert all(name in str(refusal.value) for name in SUPPORTED_ARCHITECTURES)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "16"}, "hidden_size"),
        ({"hidden_size": -16}, "hidden_size"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"rope_scaling": {"rope_type": "spiral", "factor": 2.0}}, "rope_type"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"architectures": ["Qwen2ForCausalLM"], "rope_scaling": YARN | {"beta_fast": 16.0}}, "beta_fast"),
        ({"architectures": ["Qwen2ForCausalLM"], "rope_scaling": YARN | {"truncate": False}}, "truncate"),
        ({"architectures": ["Qwen2ForCausalLM"], "rope_scaling": LLAMA3}, "rope_type 'llama3'"),
        ({"rope_scaling": LLAMA3 | {"high_freq_factor": 1.0}}, "high_freq_factor"),
        ({"rope_theta": float("inf")}, "rope_theta"),
        ({"vocab_size": 100}, "embed_tokens"),
        (
            {"architectures": ["GemmaForCausalLM"], "hidden_act": "gelu", "tie_word_embeddings": False},
            "tie_word",
        ),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"num_attention_heads": 2**31 - 1}, "num_attention_heads"),
        ({"head_dim": 2**31 - 1}, "head_dim"),
        ({"architectures": ["MixtralForCausalLM"], "num_local_experts": 2**31 - 1}, "num_local_experts"),
        ({"architectures": ["Qwen2ForCausalLM"], "head_dim": 16}, "head_dim"),
    ],
)
def test_a_wrong_hyperparameter_is_named(
    changes: dict[str, object], named: str, tiny_llama: Path, converted: Convert
) -> None:
    """The error names a field that is missing, of the wrong type, or of an unsupported value."""
    change_config(tiny_llama, **changes)

    with pytest.raises(ConversionError, match=named):
        converted(tiny_llama)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_corrupt_json_is_named(name: str, content: bytes, tiny_llama: Path, converted: Convert) -> None:
    """The error names a file that is malformed or no JSON object."""
    (tiny_llama / name).write_bytes(content)

    with pytest.raises(ConversionError, match=name):
        converted(tiny_llama)


def test_a_truncated_file_is_named(tiny_llama: Path, converted: Convert) -> None:
    """The error names a file that is shorter than its header says."""
    weights = tiny_llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])

    with pytest.raises(ConversionError, match=r"model\.safetensors: truncated"):
        converted(tiny_llama)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1099511627775, 1099511627775], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_a_hostile_safetensors_header_is_refused(header: bytes, tiny_llama: Path, converted: Convert) -> None:
    """The error names a file whose header is malformed or does not match the data."""
    (tiny_llama / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)

    with pytest.raises(ConversionError, match=r"model\.safetensors"):
        converted(tiny_llama)


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8, b"<html>not weights</html>"])
def test_what_is_no_safetensors_file_is_refused(content: bytes, tiny_llama: Path, converted: Convert) -> None:
    """The error names a file of another format."""
    (tiny_llama / "model.safetensors").write_bytes(content)

    with pytest.raises(ConversionError, match=r"model\.safetensors"):
        converted(tiny_llama)


def change_tensors(checkpoint: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    change(tensors)
    save_file(tensors, checkpoint / "model.safetensors")


def test_a_missing_tensor_is_named(tiny_llama: Path, converted: Convert) -> None:
    """The error names a tensor that the family requires."""
    change_tensors(tiny_llama, lambda tensors: tensors.pop("model.layers.0.mlp.up_proj.weight"))

    with pytest.raises(ConversionError, match=r"model\.layers\.0\.mlp\.up_proj\.weight"):
        converted(tiny_llama)


def test_an_unknown_tensor_is_named(tiny_llama: Path, converted: Convert) -> None:
    """A tensor that the architecture does not have is refused rather than left out."""
    change_tensors(tiny_llama, lambda tensors: tensors.update({"model.adapter.weight": np.zeros((2, 2), np.float32)}))

    with pytest.raises(ConversionError, match=r"model\.adapter\.weight"):
        converted(tiny_llama)


def test_a_layer_beyond_the_configured_ones_is_refused(tiny_llama: Path, converted: Convert) -> None:
    """A checkpoint with more layers than config.json says is refused."""
    change_tensors(tiny_llama, lambda t: t.update({"model.layers.1.mlp.up_proj.weight": np.zeros((2, 2), np.float32)}))

    with pytest.raises(ConversionError, match="num_hidden_layers"):
        converted(tiny_llama)


def test_a_tensor_of_another_shape_is_named(tiny_llama: Path, converted: Convert) -> None:
    """The error has the tensor's shape and the one that config.json implies."""
    change_tensors(tiny_llama, lambda t: t.update({"model.norm.weight": np.ones(17, np.float32)}))

    with pytest.raises(ConversionError, match=r"model\.norm\.weight.*\(17,\).*\(16,\)"):
        converted(tiny_llama)


def test_a_tensor_of_integers_is_refused(tiny_llama: Path, converted: Convert) -> None:
    """The error names weights that are not floats."""
    change_tensors(tiny_llama, lambda t: t.update({"model.norm.weight": np.ones(16, np.int32)}))

    with pytest.raises(ConversionError, match=r"model\.norm\.weight.*I32"):
        converted(tiny_llama)


def test_values_beyond_float16_are_refused_by_name(tiny_llama: Path, converted: Convert) -> None:
    """A weight beyond float16's range is refused, not converted to infinity."""
    name = "model.layers.0.mlp.up_proj.weight"
    change_tensors(tiny_llama, lambda t: t.update({name: np.full((24, 16), 1e6, np.float32)}))

    with pytest.raises(ConversionError, match=r"mlp\.up_proj\.weight.*65504"):
        converted(tiny_llama, Dtype.FLOAT16)


def shard(checkpoint: Path, weight_map: dict[str, str] | None = None) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    (checkpoint / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    for file, part in parts.items():
        save_file({name: tensors[name] for name in part}, checkpoint / file)
    index = weight_map or {name: file for file, part in parts.items() for name in part}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))


def test_a_missing_shard_is_named(tiny_llama: Path, converted: Convert) -> None:
    """The error names a shard of the index that does not exist."""
    shard(tiny_llama)
    (tiny_llama / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(ConversionError, match=r"model-00002-of-00002\.safetensors"):
        converted(tiny_llama)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "a/b.safetensors", "model.bin", ""])
def test_an_index_reaches_no_other_directory(name: str, tiny_llama: Path, converted: Convert) -> None:
    """An index that names a file outside the directory is refused."""
    shard(tiny_llama, {"model.norm.weight": name})

    with pytest.raises(ConversionError, match=r"weight_map|index"):
        converted(tiny_llama)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d.update(pre_tokenizer={"type": "Whitespace"}), "Whitespace"),
        (lambda d: d.update(normalizer={"type": "NFKC"}), "NFKC"),
        (lambda d: d.update(normalizer={"type": "Lowercase"}), "Lowercase"),
        (lambda d: d["model"].update(type="Unigram"), "type"),
        (lambda d: d["model"].update(dropout=0.1), "dropout"),
        (lambda d: d["model"].update(vocab={}), "vocab"),
        (lambda d: d["model"].update(vocab={"a": -1}), "vocab"),
        (lambda d: d["model"].update(merges=["a"]), "merges"),
        (lambda d: d["model"].update(byte_fallback=False), "byte_fallback"),
        (lambda d: d["model"]["merges"].pop(3), "not merged"),
        (lambda d: d["added_tokens"][0].update(single_word=True), "single_word"),
        (lambda d: d["added_tokens"].append({"id": 599, "content": "<s>", "special": True}), "<s>"),
        (lambda d: d.update(post_processor={"type": "BertProcessing"}), "BertProcessing"),
    ],
)
def test_an_unsupported_tokenizer_is_refused_by_name(
    change: Callable[[dict[str, Any]], object], named: str, tiny_llama: Path, converted: Convert
) -> None:
    """The error names a part of the tokenizer that has no equivalent in llama.cpp."""
    change_tokenizer(tiny_llama, change)
    (tiny_llama / "tokenizer.model").unlink()

    with pytest.raises(ConversionError, match=named):
        converted(tiny_llama)


GPT4O = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}{1,3}|\s+"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=GPT4O), "Lu"),
        (
            lambda d: d["pre_tokenizer"]["pretokenizers"][0].update(behavior="MergedWithNext"),
            "MergedWithNext",
        ),
        (lambda d: d["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True), "add_prefix_space"),
        (lambda d: d["model"].update(ignore_merges=True), "ignore_merges"),
        (lambda d: d.update(normalizer={"type": "NFKC"}), "NFKC"),
    ],
)
def test_an_unsupported_pre_tokenizer_is_refused_with_its_definition(
    change: Callable[[dict[str, Any]], object], named: str, tmp_path: Path, converted: Convert
) -> None:
    """The error shows a pre-tokenizer that has no equivalent in llama.cpp."""
    checkpoint = write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "qwen2")
    change_tokenizer(checkpoint, change)

    with pytest.raises(ConversionError, match=named):
        converted(checkpoint)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x0a\xff\x01", b"not a model"])
def test_a_broken_sentencepiece_model_is_named(content: bytes, tmp_path: Path, converted: Convert) -> None:
    """The error names a tokenizer.model that is malformed."""
    checkpoint = write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2_model_only")
    (checkpoint / "tokenizer.model").write_bytes(content)

    with pytest.raises(ConversionError, match=r"tokenizer\.model"):
        converted(checkpoint)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (b"\x0a\x03\x0a\x01\xff", "utf-8"),
        (b"\x0a\x05\x0a\x01a\x18\x07", "not a sentencepiece model .7"),
        (b"\x0a\x02\x18\x01", "a piece without text"),
        (b"\x12\x02\x18\x01", "BPE"),
        (b"\x12\x02\x18\x09", "BPE"),
        (b"\x12\x03\x98\x02\x00", "byte_fallback"),
        (b"\x1a\x03\x12\x01x", "normalises"),
        (b"\x1a\x02\x20\x01", "white space"),
    ],
)
def test_a_field_of_a_sentencepiece_model_without_an_equal_is_named(
    fields: bytes, named: str, tmp_path: Path, converted: Convert
) -> None:
    """What is added to a sound file takes the place of its fields, or is one more piece."""
    checkpoint = write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2_model_only")
    with (checkpoint / "tokenizer.model").open("ab") as file:
        file.write(fields)

    with pytest.raises(ConversionError, match=rf"tokenizer\.model: .*{named}"):
        converted(checkpoint)


@pytest.mark.parametrize("content", [b"", b"x", b"!! 0\n", b"YQ== 0\nYg== 0\n", b"YQ== -1\n"])
def test_a_broken_tiktoken_file_is_named(content: bytes, tmp_path: Path, converted: Convert) -> None:
    """The error names a qwen.tiktoken that is malformed."""
    checkpoint = write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "qwen1")
    (checkpoint / "qwen.tiktoken").write_bytes(content)

    with pytest.raises(ConversionError, match=r"qwen\.tiktoken"):
        converted(checkpoint)


def test_a_checkpoint_without_a_tokenizer_says_what_it_needs(tiny_llama: Path, converted: Convert) -> None:
    """The error has the names of the tokenizer files that are read."""
    for name in ("tokenizer.json", "tokenizer.model"):
        (tiny_llama / name).unlink()

    with pytest.raises(ConversionError, match=r"tokenizer\.json, tokenizer\.model or qwen\.tiktoken"):
        converted(tiny_llama)
