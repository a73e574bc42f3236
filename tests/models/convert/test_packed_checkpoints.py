"""GPTQ and AWQ checkpoints, quantised here, compared with their dequantised originals."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from safetensors.numpy import load_file, save_file

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.llama_file import opened
from tests.models.convert.packing import Quantised, as_awq, as_gptq, quantise
from tests.models.convert.seeded_checkpoint import seeded_weights, write_checkpoint
from tests.models.convert.test_logits import cosines

HIDDEN, FF = 128, 256
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": HIDDEN,
    "intermediate_size": FF,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 600,
    "max_position_embeddings": 128,
}
LINEAR = {
    "self_attn.q_proj": [HIDDEN, HIDDEN],
    "self_attn.k_proj": [HIDDEN // 2, HIDDEN],
    "self_attn.v_proj": [HIDDEN // 2, HIDDEN],
    "self_attn.o_proj": [HIDDEN, HIDDEN],
    "mlp.gate_proj": [FF, HIDDEN],
    "mlp.up_proj": [FF, HIDDEN],
    "mlp.down_proj": [HIDDEN, FF],
}
SHAPES = {
    "model.embed_tokens.weight": [600, HIDDEN],
    "lm_head.weight": [600, HIDDEN],
    "model.norm.weight": [HIDDEN],
    **{
        f"model.layers.{layer}.{name}.weight": shape
        for layer in range(2)
        for name, shape in (LINEAR | {"input_layernorm": [HIDDEN], "post_attention_layernorm": [HIDDEN]}).items()
    },
}


@dataclass(frozen=True)
class Scheme:
    """A way to quantise a checkpoint."""

    method: str
    bits: int
    group: int
    """Inputs of a group; -1 for all."""
    symmetric: bool = True
    act_order: bool = False
    """Whether groups are permuted (GPTQ's desc_act)."""
    version: int = 1
    """Of GPTQ's checkpoint format."""
    kind: str = ""
    """The ggml type that layers convert to."""

    def __str__(self) -> str:
        order = "-order" if self.act_order else ""
        zeros = "sym" if self.symmetric else "asym"
        return f"{self.method}{self.version}-{self.bits}bit-g{self.group}-{zeros}{order}"

    def settings(self) -> dict[str, object]:
        if self.method == "awq":
            return {
                "quant_method": "awq",
                "bits": 4,
                "group_size": self.group,
                "zero_point": True,
                "version": "gemm",
            }
        form = {1: "gptq", 2: "gptq_v2"}[self.version]
        return {
            "quant_method": "gptq",
            "bits": self.bits,
            "group_size": self.group,
            "desc_act": self.act_order,
            "sym": self.symmetric,
            "checkpoint_format": form,
        }

    def packed(self, name: str, layer: Quantised) -> dict[str, np.ndarray]:
        if self.method == "awq":
            return as_awq(name, layer)
        return as_gptq(name, layer, self.bits, version=self.version)


SCHEMES = [
    Scheme("gptq", 4, 32, kind="Q4_0"),
    Scheme("gptq", 4, 128, kind="Q4_0"),
    Scheme("gptq", 4, -1, kind="Q4_0"),
    Scheme("gptq", 4, 64, version=2, kind="Q4_0"),
    Scheme("gptq", 4, 64, symmetric=False, kind="Q4_1"),
    Scheme("gptq", 4, 64, symmetric=False, version=2, kind="Q4_1"),
    Scheme("gptq", 2, 64, kind="Q4_0"),
    Scheme("gptq", 2, 64, symmetric=False, kind="Q4_0"),
    Scheme("gptq", 8, 128, kind="Q8_0"),
    Scheme("gptq", 8, 128, symmetric=False, kind="F16"),
    Scheme("gptq", 4, 16, kind="F16"),
    Scheme("gptq", 4, 64, act_order=True, kind="F16"),
    Scheme("gptq", 8, 64, act_order=True, version=2, kind="F16"),
    Scheme("awq", 4, 64, symmetric=False, kind="Q4_1"),
    Scheme("awq", 4, 128, symmetric=False, kind="Q4_1"),
    Scheme("awq", 4, 16, symmetric=False, kind="F16"),
]
STEPS = {"Q4_0": 0.0, "Q8_0": 0.0, "Q4_1": 0.01, "F16": 0.13}
"""The largest error of a weight, in steps of its grid, by ggml type: that of rounding to float16."""
STORED_COSINES = {"Q4_0": 0.999999, "Q8_0": 0.999999, "Q4_1": 0.9999, "F16": 0.9999}
"""The least cosine of logits that float32 arithmetic computes with the stored weights."""
COMPUTED_COSINES = {"Q4_0": 0.99, "Q8_0": 0.99, "Q4_1": 0.99, "F16": 0.9999}
"""The least cosine of llama.cpp's logits; it quantises activations to 8 bits to multiply them with blocks."""
TOKENS = np.random.RandomState(3).randint(3, 580, 96).tolist()


@pytest.fixture(params=SCHEMES, ids=str)
def scheme(request: pytest.FixtureRequest) -> Scheme:
    return request.param


def write_pair(directory: Path, scheme: Scheme) -> tuple[Path, Path, dict[str, Quantised]]:
    """Writes a packed checkpoint and one of its dequantised weights; returns both, and the packed layers."""
    packed = write_checkpoint(directory / "packed", CONFIG | {"quantization_config": scheme.settings()}, {}, "llama2")
    original = write_checkpoint(directory / "original", CONFIG, {}, "llama2")
    stored, dense, layers = {}, {}, {}
    for name, values in seeded_weights(SHAPES).items():
        if "_proj" not in name:
            stored[name] = dense[name] = values
            continue
        layer = name.removesuffix(".weight")
        layers[name] = quantise(
            values, scheme.bits, scheme.group, symmetric=scheme.symmetric, act_order=scheme.act_order
        )
        stored |= scheme.packed(layer, layers[name])
        dense[name] = layers[name].weight
    save_file(stored, packed / "model.safetensors")
    save_file(dense, original / "model.safetensors")
    return packed, original, layers


def read_weight(path: Path, name: str) -> tuple[str, np.ndarray]:
    tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == name)
    return tensor.tensor_type.name, dequantize(tensor.data, tensor.tensor_type)


def test_repacked_weights_equal_the_original(scheme: Scheme, tmp_path: Path, converted: Callable[..., Path]) -> None:
    """A packed layer converts to the documented ggml type, with no error but that type's rounding."""
    packed, _, layers = write_pair(tmp_path, scheme)

    kind, weight = read_weight(converted(packed), "blk.1.ffn_down.weight")

    layer = layers["model.layers.1.mlp.down_proj.weight"]
    steps = np.abs(weight - layer.weight) / layer.scales.astype(np.float32)[:, layer.group_of]
    assert kind == scheme.kind
    assert steps.max() <= STEPS[scheme.kind]


def logits_of(path: Path) -> np.ndarray:
    with opened(path) as llama:
        return llama.logits(TOKENS)


def put_weights(source: Path, target: Path) -> None:
    """Replaces the weights of a float32 file by the dequantised ones of another file."""
    weights = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in gguf.GGUFReader(source).tensors}
    for tensor in gguf.GGUFReader(target, "r+").tensors:
        tensor.data[...] = weights[tensor.name].reshape(tensor.data.shape)


def test_stored_weights_predict_what_the_original_predicts(
    scheme: Scheme, tmp_path: Path, converted: Callable[..., Path]
) -> None:
    """In float32 arithmetic a repacked model computes the logits of the dequantised original."""
    packed, original, _ = write_pair(tmp_path, scheme)
    target = converted(original, Dtype.FLOAT32)
    wanted = logits_of(target)

    put_weights(converted(packed), target)

    assert cosines(logits_of(target), wanted).min() >= STORED_COSINES[scheme.kind]


def test_llama_cpp_computes_nearly_what_the_original_predicts(
    scheme: Scheme, tmp_path: Path, converted: Callable[..., Path]
) -> None:
    """With llama.cpp's arithmetic for blocks, the logits are close to those of the dequantised original."""
    packed, original, _ = write_pair(tmp_path, scheme)

    distance = cosines(logits_of(converted(packed)), logits_of(converted(original, Dtype.FLOAT32)))

    assert distance.min() >= COMPUTED_COSINES[scheme.kind]


def test_packed_experts_are_stacked_as_blocks(tmp_path: Path, converted: Callable[..., Path]) -> None:
    """Experts of one type stay packed, in the order of their indices."""
    experts = {"architectures": ["MixtralForCausalLM"], "num_local_experts": 2, "num_experts_per_tok": 2}
    packed, _, _ = write_pair(tmp_path, SCHEMES[0])
    config = json.loads((packed / "config.json").read_text()) | experts
    (packed / "config.json").write_text(json.dumps(config))
    tensors = load_file(packed / "model.safetensors")
    wanted = {}
    for layer in range(2):
        tensors[f"model.layers.{layer}.block_sparse_moe.gate.weight"] = np.ones((2, HIDDEN), np.float32)
        for name in [name for name in tensors if name.startswith(f"model.layers.{layer}.mlp.")]:
            del tensors[name]
        for expert in range(2):
            for part, shape in {"w1": (FF, HIDDEN), "w2": (HIDDEN, FF), "w3": (FF, HIDDEN)}.items():
                name = f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{part}"
                values = seeded_weights({f"{name}.weight": list(shape)}, seed=expert)[f"{name}.weight"]
                wanted[name] = quantise(values, 4, 32, symmetric=True, act_order=False)
                tensors |= as_gptq(name, wanted[name], 4)
    save_file(tensors, packed / "model.safetensors")

    kind, weight = read_weight(converted(packed), "blk.1.ffn_down_exps.weight")

    assert kind == "Q4_0"
    for expert in range(2):
        name = f"model.layers.1.block_sparse_moe.experts.{expert}.w2"
        np.testing.assert_array_equal(weight[expert], wanted[name].weight)


def test_a_bias_of_zeros_that_a_quantiser_added_is_dropped(tmp_path: Path, converted: Callable[..., Path]) -> None:
    """Zero biases of layers that have none in llama.cpp are left out."""
    packed, _, _ = write_pair(tmp_path, SCHEMES[0])
    config = json.loads((packed / "config.json").read_text()) | {"architectures": ["Qwen2ForCausalLM"]}
    (packed / "config.json").write_text(json.dumps(config))
    tensors = load_file(packed / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.bias"] = np.zeros(FF, np.float16)
    save_file(tensors, packed / "model.safetensors")

    names = {tensor.name for tensor in gguf.GGUFReader(converted(packed)).tensors}

    assert "blk.0.ffn_up.weight" in names
    assert "blk.0.ffn_up.bias" not in names


def change_settings(checkpoint: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Changes the quantisation settings in config.json."""
    config = json.loads((checkpoint / "config.json").read_text())
    change(config["quantization_config"])
    (checkpoint / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("version", [1, 2])
def test_format_is_read_by_either_of_its_names(version: int, tmp_path: Path, converted: Callable[..., Path]) -> None:
    """GPTQModel writes `format` where AutoGPTQ writes `checkpoint_format`; zero points depend on it."""
    packed, _, _ = write_pair(tmp_path, Scheme("gptq", 4, 32, symmetric=False, version=version))
    name = "blk.0.ffn_up.weight"
    _, before = read_weight(converted(packed), name)
    change_settings(packed, lambda settings: settings.update(format=settings.pop("checkpoint_format")))
    _, after = read_weight(converted(packed), name)
    np.testing.assert_array_equal(after, before)


def test_rules_that_only_exclude_layers_change_nothing(tmp_path: Path, converted: Callable[..., Path]) -> None:
    """The layers that they leave out are stored as floats, which shows by itself."""
    packed, _, _ = write_pair(tmp_path, SCHEMES[0])
    tensors, layer = load_file(packed / "model.safetensors"), "model.layers.0.mlp.up_proj"
    for part in [name for name in tensors if name.startswith(f"{layer}.")]:
        del tensors[part]
    tensors[f"{layer}.weight"] = np.ones((FF, HIDDEN), np.float16)
    save_file(tensors, packed / "model.safetensors")
    change_settings(packed, lambda settings: settings.update(dynamic={r"-:.*layers\.0\..*": {}}))

    kind, weight = read_weight(converted(packed), "blk.0.ffn_up.weight")

    assert kind == "F16"
    np.testing.assert_array_equal(weight, np.ones((FF, HIDDEN)))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"quant_method": "bitsandbytes"}, "quant_method"),
        ({"bits": 3}, "bits"),
        ({"checkpoint_format": "marlin"}, "checkpoint_format"),
        ({"dynamic": {"-:lm_head": {}, "+:.*down_proj": {"bits": 8}}}, "dynamic"),
        ({"dynamic": {".*down_proj": {"bits": 8}}}, "dynamic"),
        ({"format": "marlin"}, "format"),
        ({"format": "gptq_v2"}, "as 'checkpoint_format' .gptq."),
        ({"quant_method": "awq", "version": "gemv"}, "version"),
        ({"quant_method": "awq", "bits": 8}, "bits"),
    ],
)
def test_unsupported_quantisation_is_refused_by_name(
    changes: dict[str, object], named: str, tmp_path: Path, converted: Callable[..., Path]
) -> None:
    """The error names the field of an unsupported quantisation."""
    packed, _, _ = write_pair(tmp_path, SCHEMES[0])
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"] |= changes
    (packed / "config.json").write_text(json.dumps(config))

    with pytest.raises(ConversionError, match=named):
        converted(packed)


def test_a_packed_layer_without_scales_is_refused_by_name(tmp_path: Path, converted: Callable[..., Path]) -> None:
    """The error names the missing tensor of a layer."""
    packed, _, _ = write_pair(tmp_path, SCHEMES[0])
    tensors = load_file(packed / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.scales"]
    save_file(tensors, packed / "model.safetensors")

    with pytest.raises(ConversionError, match=r"model\.layers\.0\.mlp\.up_proj\.scales"):
        converted(packed)
