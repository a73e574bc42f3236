"""Contents of a converted file besides tokens and logits, progress, failures and the name in the cache."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from safetensors.numpy import load_file

from llm_inference_api.models.convert.cache import cached_name, checkpoint_fingerprint
from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint
from tests.models.convert.test_refusals import change_config, shard

Convert = Callable[..., Path]


def metadata(path: Path) -> dict[str, str]:
    with opened(path, vocab_only=True) as llama:
        return llama.metadata()


def test_a_sharded_checkpoint_gives_the_same_file(tiny_llama: Path, converted: Convert) -> None:
    """Shards are read as one checkpoint."""
    whole = converted(tiny_llama).read_bytes()

    shard(tiny_llama)

    assert converted(tiny_llama).read_bytes() == whole


def test_progress_counts_tensors(tiny_llama: Path, tmp_path: Path) -> None:
    """Progress starts at zero, rises by one and ends with the number of tensors."""
    heard: list[tuple[int, int]] = []

    convert_checkpoint(
        tiny_llama, tmp_path / "m.gguf", dtype=None, progress=lambda done, total: heard.append((done, total))
    )

    assert heard == [(done, len(TINY_LLAMA_SHAPES)) for done in range(len(TINY_LLAMA_SHAPES) + 1)]


@pytest.mark.parametrize("dtype", [None, *Dtype])
def test_weights_take_the_wanted_type_and_norms_stay_float32(
    dtype: Dtype | None, tiny_llama: Path, converted: Convert
) -> None:
    """A dtype applies to matrices only; without one they keep the checkpoint's type."""
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(converted(tiny_llama, dtype)).tensors}

    wanted = {Dtype.FLOAT16: "F16", Dtype.BFLOAT16: "BF16"}.get(dtype, "F32")
    assert kinds["blk.0.attn_q.weight"] == wanted
    assert kinds["blk.0.attn_norm.weight"] == "F32"


@pytest.mark.parametrize("dtype", [None, *Dtype])
@pytest.mark.parametrize("stored", ["F16", "BF16"])
def test_weights_of_sixteen_bits_keep_their_values(
    stored: str, dtype: Dtype | None, tiny_llama: Path, converted: Convert
) -> None:
    """float16 and bfloat16 convert to every type, and without loss to float32 and to themselves."""
    wanted = store_as(tiny_llama, stored)

    tensors = gguf.GGUFReader(converted(tiny_llama, dtype)).tensors
    tensor = next(tensor for tensor in tensors if tensor.name == "blk.0.ffn_up.weight")

    kind = {Dtype.FLOAT32: "F32", Dtype.FLOAT16: "F16", Dtype.BFLOAT16: "BF16"}.get(dtype, stored)
    values = dequantize(tensor.data, tensor.tensor_type).reshape(wanted.shape)
    assert tensor.tensor_type.name == kind
    assert np.abs(values - wanted).max() <= (0 if kind in (stored, "F32") else 2**-8 * np.abs(wanted).max())


def store_as(checkpoint: Path, stored: str) -> np.ndarray:
    """Rewrites the weights in 16 bits; returns one of them in float32."""
    path = checkpoint / "model.safetensors"
    at, header, content = 0, {}, b""
    for name, values in load_file(path).items():
        bits = values.astype(np.float16).view(np.uint16)
        if stored == "BF16":
            bits = (values.view(np.uint32) >> 16).astype(np.uint16)
        header[name] = {"dtype": stored, "shape": list(values.shape), "data_offsets": [at, at + bits.nbytes]}
        at, content = at + bits.nbytes, content + bits.tobytes()
        if name == "model.layers.0.mlp.up_proj.weight":
            kept = bits
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)
    return kept.view(np.float16).astype(np.float32) if stored == "F16" else as_float32(kept)


def as_float32(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def test_bfloat16_rounds_to_the_nearest(tiny_llama: Path, converted: Convert) -> None:
    """float32 is rounded to the nearest bfloat16."""
    stored = load_file(tiny_llama / "model.safetensors")["model.embed_tokens.weight"]

    tensors = gguf.GGUFReader(converted(tiny_llama, Dtype.BFLOAT16)).tensors
    data = next(tensor for tensor in tensors if tensor.name == "token_embd.weight").data

    values = as_float32(data.view(np.uint16)).reshape(stored.shape)
    assert np.abs(values / stored - 1).max() <= 2**-8


def test_the_chat_template_comes_from_the_configuration(tiny_llama: Path, converted: Convert) -> None:
    """The template of tokenizer_config.json is written to the file."""
    (tiny_llama / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))

    assert metadata(converted(tiny_llama))["tokenizer.chat_template"] == "{{ messages }}"


def test_a_jinja_file_comes_before_the_configuration(tiny_llama: Path, converted: Convert) -> None:
    """chat_template.jinja wins, as in transformers."""
    (tiny_llama / "tokenizer_config.json").write_text(json.dumps({"chat_template": "old"}))
    (tiny_llama / "chat_template.jinja").write_text("{{ new }}")

    assert metadata(converted(tiny_llama))["tokenizer.chat_template"] == "{{ new }}"


def test_named_chat_templates_are_all_kept(tiny_llama: Path, converted: Convert) -> None:
    """The default template gets the plain key, each other one a key with its name."""
    templates = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    (tiny_llama / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))

    held = metadata(converted(tiny_llama))

    assert held["tokenizer.chat_template"] == "a"
    assert held["tokenizer.chat_template.tool_use"] == "b"


def test_every_end_token_of_the_generation_configuration_is_named(tmp_path: Path, converted: Convert) -> None:
    """A list of end tokens is written to eos, eot and eom."""
    checkpoint = write_checkpoint(tmp_path / "m", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama3")
    (checkpoint / "generation_config.json").write_text(json.dumps({"eos_token_id": [541, 544, 543]}))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<|eot_id|>"}}))

    held = metadata(converted(checkpoint))

    ends = {held[f"tokenizer.ggml.{name}_token_id"] for name in ("eos", "eot", "eom")}
    assert ends == {"541", "543", "544"}


def test_rows_without_a_token_are_unused(tiny_llama: Path, converted: Convert) -> None:
    """A vocabulary that is padded to the rows of the embedding keeps its size."""
    with opened(converted(tiny_llama), vocab_only=True) as llama:
        assert llama.size == TINY_LLAMA["vocab_size"]


def test_yarn_reaches_as_far_as_its_factor(tiny_llama: Path, converted: Convert) -> None:
    """A configuration with the unscaled length, as Qwen2.5's, gives the scaled context length."""
    rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    change_config(tiny_llama, rope_scaling=rope)

    assert metadata(converted(tiny_llama))["llama.context_length"] == "256"


def test_added_tokens_without_a_row_are_dropped(tiny_llama: Path, converted: Convert) -> None:
    """An added token without an embedding is removed, and its text is tokenized as plain text."""
    definition = json.loads((tiny_llama / "tokenizer.json").read_text())
    definition["added_tokens"].append({"id": 600, "content": "<pad>", "special": True})
    (tiny_llama / "tokenizer.json").write_text(json.dumps(definition))

    with opened(converted(tiny_llama), vocab_only=True) as llama:
        assert llama.size == 600
        assert len(llama.tokens("<pad>", around=False)) > 1


def test_a_tokenizer_that_begins_texts_needs_its_token(tiny_llama: Path) -> None:
    """A tokenizer that adds an end token must have one, or llama.cpp would abort."""
    definition = json.loads((tiny_llama / "tokenizer.json").read_text())
    definition["post_processor"] = None
    (tiny_llama / "tokenizer.json").write_text(json.dumps(definition))
    (tiny_llama / "tokenizer_config.json").write_text(json.dumps({"add_eos_token": True}))
    change_config(tiny_llama, eos_token_id=None)

    with pytest.raises(ConversionError, match="eos_token"):
        convert_checkpoint(tiny_llama, tiny_llama / "m.gguf", dtype=None, progress=lambda *_: None)


def test_a_window_that_llama_cpp_does_not_have_ends_the_context(tiny_llama: Path, converted: Convert) -> None:
    """Qwen2 has no window in llama.cpp, so its context length ends with the window."""
    window = {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 48}
    change_config(tiny_llama, architectures=["Qwen2ForCausalLM"], **window)

    assert metadata(converted(tiny_llama))["qwen2.context_length"] == "48"


def test_a_window_as_long_as_the_context_changes_nothing(tiny_llama: Path, converted: Convert) -> None:
    """Mistral converts to llama.cpp's Llama where the window spans the whole context."""
    change_config(tiny_llama, architectures=["MistralForCausalLM"], sliding_window=64)

    assert metadata(converted(tiny_llama))["general.architecture"] == "llama"


def test_a_failed_conversion_leaves_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    """An error during conversion removes the temporary file and keeps the earlier output."""
    output = tmp_path / "out" / "m.gguf"
    output.parent.mkdir()
    output.write_text("before")
    calls: list[int] = []

    def fail_at_three(done: int, total: int) -> None:
        calls.append(done)
        if done == 3:
            raise ConversionError("stop")

    with pytest.raises(ConversionError, match="stop"):
        convert_checkpoint(tiny_llama, output, dtype=None, progress=fail_at_three)

    assert [path.name for path in output.parent.iterdir()] == ["m.gguf"]
    assert output.read_text() == "before"


def test_the_cache_name_depends_on_source_and_type(tiny_llama: Path) -> None:
    """The same checkpoint and type have the same name, in any case; a new file or another type has another."""
    fingerprint = checkpoint_fingerprint(tiny_llama)
    name = cached_name(fingerprint, "Q4_K_M")

    assert name == cached_name(checkpoint_fingerprint(tiny_llama), "q4_k_m")
    assert name != cached_name(fingerprint, "Q8_0")
    (tiny_llama / "tokenizer_config.json").write_text("{}")
    assert name != cached_name(checkpoint_fingerprint(tiny_llama), "Q4_K_M")


@pytest.mark.parametrize("name", ["", "../q", "q4/k", "q" * 21])
def test_the_cache_name_is_a_file_of_the_cache(name: str) -> None:
    """A type that could leave the cache's directory is refused."""
    with pytest.raises(ValueError, match="not the name of a type"):
        cached_name("fingerprint", name)


def test_a_modified_file_changes_the_fingerprint(tiny_llama: Path) -> None:
    """A file that conversion reads counts by its size and time, other files do not count."""
    before = checkpoint_fingerprint(tiny_llama)

    (tiny_llama / "README.md").write_text("not read")
    assert checkpoint_fingerprint(tiny_llama) == before

    os.utime(tiny_llama / "model.safetensors", ns=(0, 0))
    assert checkpoint_fingerprint(tiny_llama) != before


def test_a_file_of_the_hubs_cache_counts_by_its_digest(tmp_path: Path) -> None:
    """A link to a blob has the same fingerprint whenever and wherever the blob was downloaded."""
    fingerprints = []
    for number in range(2):
        blob = tmp_path / str(number) / "blobs" / ("0" * 64)
        blob.parent.mkdir(parents=True)
        blob.write_bytes(b"weights")
        os.utime(blob, ns=(number, number))
        snapshot = tmp_path / str(number) / "snapshot"
        snapshot.mkdir()
        (snapshot / "model.safetensors").symlink_to(blob)
        fingerprints.append(checkpoint_fingerprint(snapshot))

    assert fingerprints[0] == fingerprints[1]
