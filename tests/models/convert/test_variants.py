"""Checkpoints as various tools write them: converted as they are meant, or refused for the cause."""

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.requests.reference import Reference
from llm_inference_api.text.text_preparation import TextPreparation
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint
from tests.models.convert.test_refusals import change_config, change_tensors, change_tokenizer

Convert = Callable[..., Path]
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def tensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the float32 tensors of a GGUF file by name."""
    return {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}


def metadata(path: Path) -> dict[str, str]:
    """Returns the metadata of a GGUF file as llama.cpp reads it."""
    with opened(path, vocab_only=True) as file:
        return file.metadata()


def test_stored_head_goes_before_the_tie(tiny_llama: Path, converted: Convert) -> None:
    """Where it differs from the embedding, transformers does not tie them either."""
    change_config(tiny_llama, tie_word_embeddings=True)
    stored = load_file(tiny_llama / "model.safetensors")
    np.testing.assert_array_equal(tensors(converted(tiny_llama))["output.weight"], stored[HEAD])


def test_head_that_equals_the_embedding_is_left_out(tiny_llama: Path, converted: Convert) -> None:
    """Many checkpoints store it twice, in types that may differ."""
    change_config(tiny_llama, tie_word_embeddings=True)
    halves = load_file(tiny_llama / "model.safetensors")[EMBEDDING].astype(np.float16)
    change_tensors(tiny_llama, lambda t: t.update({HEAD: halves, EMBEDDING: halves.astype(np.float32)}))
    assert "output.weight" not in tensors(converted(tiny_llama))


def test_head_that_llama_cpp_would_not_read_is_refused(tiny_llama: Path, converted: Convert) -> None:
    """Its Gemma computes with the embedding, whatever else the file has."""
    change_config(
        tiny_llama, architectures=["GemmaForCausalLM"], hidden_act="gelu", head_dim=8, tie_word_embeddings=True
    )
    with pytest.raises(ConversionError, match=r"lm_head\.weight.*must equal"):
        converted(tiny_llama)


QWEN = {"architectures": ["Qwen2ForCausalLM"], "sliding_window": 32, "max_window_layers": 28}


@pytest.mark.parametrize(
    ("kind", "allowed", "context"),
    [("sliding_attention", True, "32"), ("full_attention", True, "64"), ("full_attention", False, "64")],
)
@pytest.mark.parametrize("name", ["qwen2", "qwen3"])
def test_kinds_of_layers_say_which_have_a_window(
    tiny_llama: Path, converted: Convert, *, name: str, kind: str, allowed: bool, context: str
) -> None:
    """They go before max_window_layers; llama.cpp has no window here, so the context ends with it."""
    has_norms = name == "qwen3"
    change_config(tiny_llama, **QWEN, layer_types=[kind], use_sliding_window=allowed)
    change_config(tiny_llama, architectures=[f"{name.capitalize()}ForCausalLM"], **{"head_dim": 8} if has_norms else {})
    norms = {f"model.layers.0.self_attn.{part}_norm.weight": np.ones(8, np.float32) for part in "qk"}
    change_tensors(tiny_llama, lambda t: t.update(norms if has_norms else {}))
    assert metadata(converted(tiny_llama))[f"{name}.context_length"] == context


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"layer_types": ["sliding_attention"], "use_sliding_window": False}, "use_sliding_window"),
        ({"layer_types": ["linear_attention"]}, "layer_types"),
        ({"layer_types": ["full_attention"] * 2}, "layer_types"),
    ],
)
def test_kinds_of_layers_that_make_no_sense_are_refused(
    changes: dict[str, object], named: str, tiny_llama: Path, converted: Convert
) -> None:
    """Windows that are not allowed, kinds that llama.cpp lacks, and another number of layers."""
    change_config(tiny_llama, **QWEN | changes)
    with pytest.raises(ConversionError, match=named):
        converted(tiny_llama)


@pytest.mark.parametrize("special", [False, True])
def test_normalized_added_token_under_a_prefix_is_refused_unless_special(
    special: object, tiny_llama: Path, converted: Convert
) -> None:
    """It is no token in the middle of a word, which llama.cpp cannot tell."""
    token = {"id": 599, "content": "zyx", "special": special, "normalized": True}
    change_tokenizer(tiny_llama, lambda d: d["added_tokens"].append(token))
    if special:
        assert converted(tiny_llama)
        return
    with pytest.raises(ConversionError, match="'zyx' is normalized"):
        converted(tiny_llama)


@pytest.mark.parametrize(
    ("changes", "prefix", "space"),
    [
        ({}, "true", None),
        ({"add_prefix_space": False}, "false", None),
        ({"legacy": False}, "false", '"first"'),
        ({"legacy": False, "add_prefix_space": False}, "false", None),
        ({"legacy": True, "add_prefix_space": True}, "true", None),
    ],
)
def test_spaces_before_texts_of_a_sentencepiece_model_are_as_configured(
    changes: dict[str, object], prefix: str, space: str | None, tmp_path: Path, converted: Convert
) -> None:
    """tokenizer_config.json says whether there are any, and whether also after special tokens."""
    checkpoint = write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2_model_only")
    path = checkpoint / "tokenizer_config.json"
    given = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**{k: v for k, v in given.items() if k != "legacy"}, **changes}))
    found = metadata(converted(checkpoint))
    assert found["tokenizer.ggml.add_space_prefix"] == prefix
    assert found.get("llm_inference_api.tokenizer.space") == space


def test_text_that_begins_with_a_special_piece_gets_no_space(tmp_path: Path, converted: Convert) -> None:
    """Only the text's beginning gets one where `legacy` is false; the ids are transformers 5's."""
    checkpoint = write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2_model_only")
    (checkpoint / "tokenizer_config.json").write_text('{"legacy": false}')
    with opened(converted(checkpoint), vocab_only=True) as file:
        preparation = TextPreparation.from_metadata(file.metadata())
        ids = {text: file.tokens(preparation.apply(text), around=False) for text in ("</s>hello", "a</s>b c", " hello")}
    assert ids == {"</s>hello": [2, 289, 348, 449], "a</s>b c": [261, 2, 463, 284], " hello": [444, 289, 348, 449]}


def write_templates(checkpoint: Path, **templates: str) -> None:
    """Writes the files of templates by name; `default` is that of the checkpoint."""
    (checkpoint / "additional_chat_templates").mkdir()
    for name, text in templates.items():
        path = "chat_template.jinja" if name == "default" else f"additional_chat_templates/{name}.jinja"
        (checkpoint / path).write_text(text)


def test_templates_in_files_keep_their_names(tiny_llama: Path, converted: Convert) -> None:
    """The directory beside the default template has the others."""
    write_templates(tiny_llama, default="D", tool_use="T", rag="R")
    found = metadata(converted(tiny_llama))
    assert found["tokenizer.chat_template"] == "D"
    assert (found["tokenizer.chat_template.tool_use"], found["tokenizer.chat_template.rag"]) == ("T", "R")


@pytest.mark.parametrize(
    ("templates", "default"),
    [
        ([{"name": "tool_use", "template": "T"}, {"name": "chat", "template": "C"}], "C"),
        ([{"name": "tool_use", "template": "T"}], "T"),
        ([{"name": "a", "template": "A"}, {"name": "default", "template": "D"}], "D"),
    ],
)
def test_list_of_templates_without_a_default_has_one(
    templates: list[dict[str, str]], default: str, tiny_llama: Path, converted: Convert
) -> None:
    """The first for plain chats, else the first; all keep their names."""
    (tiny_llama / "tokenizer_config.json").write_text(json.dumps({"chat_template": templates}))
    found = metadata(converted(tiny_llama))
    assert found["tokenizer.chat_template"] == default
    for template in templates:
        if template["name"] != "default":
            assert found[f"tokenizer.chat_template.{template['name']}"] == template["template"]


def test_model_type_stands_in_for_missing_architectures(tiny_llama: Path, converted: Convert) -> None:
    """As in transformers."""
    change_config(tiny_llama, architectures=None, model_type="llama")
    assert metadata(converted(tiny_llama))["general.architecture"] == "llama"


def test_missing_architecture_of_an_unknown_type_is_named(tiny_llama: Path, converted: Convert) -> None:
    """The type is all that is known of it."""
    change_config(tiny_llama, architectures=[], model_type="falcon")
    with pytest.raises(ConversionError, match="model_type 'falcon'"):
        converted(tiny_llama)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model.layers.0.attn.bias", np.ones((1, 1, 4, 4), np.bool_)),
        ("model.layers.0.attn.masked_bias", np.array(-1e4, np.float64)),
        ("model.position_ids", np.arange(4)),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", np.ones(4, np.uint16)),
    ],
)
def test_buffer_of_any_type_is_left_out(name: str, values: np.ndarray, tiny_llama: Path, converted: Convert) -> None:
    """It is computed from the configuration, so that its type does not matter."""
    before = tensors(converted(tiny_llama)).keys()
    change_tensors(tiny_llama, lambda t: t.update({name: values}))
    assert tensors(converted(tiny_llama)).keys() == before


def test_names_without_the_models_prefix_are_those_of_the_base_model(tiny_llama: Path, converted: Convert) -> None:
    """As transformers saves a model without its output matrix."""
    before = tensors(converted(tiny_llama))
    weights = load_file(tiny_llama / "model.safetensors")
    save_file(
        {name.removeprefix("model."): values for name, values in weights.items()}, tiny_llama / "model.safetensors"
    )
    after = tensors(converted(tiny_llama))
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[name], before[name]) for name in before)


def write_raw(checkpoint: Path, dtype: str, bits: int) -> None:
    """Replaces the weights by one tensor of a type that numpy does not have."""
    header = json.dumps(
        {EMBEDDING: {"dtype": dtype, "shape": [600, 16], "data_offsets": [0, 9600 * bits // 8]}}
    ).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(9600 * bits // 8)
    (checkpoint / "model.safetensors").write_bytes(content)


@pytest.mark.parametrize(
    ("dtype", "bits", "settings", "named"),
    [
        ("F8_E4M3", 8, {"quant_method": "fp8"}, "'quant_method' must be one of gptq, awq, is 'fp8'"),
        ("F4", 4, {"quant_method": "modelopt"}, "is 'modelopt'"),
        ("F8_E4M3", 8, {"quant_method": "compressed-tensors"}, "is 'compressed-tensors'"),
        ("F8_E5M2", 8, None, r"embed_tokens\.weight' is F8_E5M2; weights must be"),
    ],
)
def test_quantisation_is_refused_by_its_method(
    tiny_llama: Path, converted: Convert, *, dtype: str, bits: int, settings: dict[str, str] | None, named: str
) -> None:
    """Not by the type of the first tensor, unless that is all that is known."""
    change_config(tiny_llama, tie_word_embeddings=True, quantization_config=settings)
    write_raw(tiny_llama, dtype, bits)
    with pytest.raises(ConversionError, match=named):
        converted(tiny_llama)


def test_modelopts_settings_file_is_read(tiny_llama: Path, converted: Convert) -> None:
    """Its older checkpoints say nothing in config.json."""
    (tiny_llama / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "NVFP4"}}')
    with pytest.raises(ConversionError, match=r"hf_quant_config\.json: 'quant_method'.*'modelopt'"):
        converted(tiny_llama)


@pytest.mark.parametrize(
    ("files", "gone", "named"),
    [
        (["pytorch_model.bin"], ["model.safetensors"], r"pytorch_model\.bin, which may run code"),
        (["adapter_config.json", "adapter_model.safetensors"], ["config.json", "model.safetensors"], "LoRA adapter"),
        (["adapter_config.json", "adapter_model.safetensors"], ["model.safetensors"], "LoRA adapter"),
        (["params.json", "consolidated.safetensors"], ["config.json", "model.safetensors"], "Mistral"),
    ],
)
def test_directory_of_another_layout_is_named_for_what_it_is(
    files: list[str], gone: list[str], named: str, tiny_llama: Path, converted: Convert
) -> None:
    """Not for the first file that is missing."""
    for name in gone:
        (tiny_llama / name).unlink()
    for name in files:
        (tiny_llama / name).write_text("{}")
    with pytest.raises(ConversionError, match=named):
        converted(tiny_llama)
    if "pytorch" not in named:  # What is a checkpoint but for its weights, the conversion refuses.
        with pytest.raises(ModelFailedError, match=named):
            Reference("a", "./tiny").path(tiny_llama.parent)
