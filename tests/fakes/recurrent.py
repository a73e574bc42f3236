"""Makes tiny recurrent and hybrid models with random weights, whose tokens are bytes."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gguf import GGUFWriter

from tests.fakes import recurrent_layers as of
from tests.fakes.gguf import SPECIAL, TEMPLATE, add_byte_vocabulary
from tests.fakes.recurrent_layers import GROUPS, HEAD, HEADS, HIDDEN, INNER, KERNEL, KV_HEADS, LOW_RANK, RANK, WIDTH

Value = int | float | list[int] | list[bool]
Keys = Mapping[str, Value]

_SSM: Keys = {
    "ssm.conv_kernel": KERNEL,
    "ssm.inner_size": INNER,
    "ssm.state_size": of.STATE,
    "ssm.time_step_rank": RANK,
    "ssm.group_count": GROUPS,
}
_ONE_GROUP: Keys = {**_SSM, "ssm.group_count": 0}
_DELTA: Keys = {
    **_SSM,
    "attention.head_count_kv": KV_HEADS,
    "attention.key_length": HEAD,
    "attention.value_length": HEAD,
    "rope.dimension_sections": [HEAD // 8] * 4,
}
_EXPERTS: Keys = {
    "expert_count": of.EXPERTS,
    "expert_used_count": of.EXPERTS,  # All: a choice may be another one where sums are made in another order.
    "expert_feed_forward_length": HIDDEN,
    "expert_shared_feed_forward_length": HIDDEN,
}
# ggml computes 64 numbers of a head at a time, whether or not there are as many.
_WKV: Keys = {"wkv.head_size": WIDTH, "attention.head_count": 0}
_RWKV6: Keys = {**_WKV, "time_mix_extra_dim": LOW_RANK, "time_decay_extra_dim": LOW_RANK}
_RWKV7: Keys = {
    **_WKV,
    **{f"attention.{part}_lora_rank": LOW_RANK for part in ("decay", "iclr", "value_residual_mix", "gate")},
}
_KIMI: Keys = {
    **_EXPERTS,
    "ssm.conv_kernel": KERNEL,
    "kda.head_dim": HEAD,
    "attention.kv_lora_rank": of.LATENT,
    "attention.key_length": of.LATENT + of.ROTATED,
    "attention.value_length": of.LATENT,
    "attention.key_length_mla": HEAD + of.ROTATED,
    "attention.value_length_mla": HEAD,
    "attention.head_count_kv": [0, 1],
    "rope.dimension_count": of.ROTATED,
    "leading_dense_block_count": 2,
    "expert_shared_count": 1,
    "expert_weights_scale": 1.0,
    "expert_gating_func": 2,
}
_MINIMAX: Keys = {
    **_EXPERTS,
    "attention.head_count_kv": KV_HEADS,
    "attention.key_length": HEAD,
    "attention.value_length": HEAD,
    "full_attention_interval": 2,
    "residual_scale": 1.0,
}
_WINDOW: Keys = {"attention.sliding_window_pattern": [True, True, False], "logit_scale": 1.0}
_LFM2: Keys = {"shortconv.l_cache": KERNEL}


class _Kind(NamedTuple):
    """An architecture."""

    keys: Keys
    layers: list[list[of.Shapes]]
    """The parts of each layer."""


def _twice(*parts: str) -> list[list[of.Shapes]]:
    return [[getattr(of, part)() for part in parts] for _ in range(2)]


def _kind(architecture: str) -> _Kind:
    gated = "post_attention_norm.weight"
    full = [of.attention(query=2), of.norms_of_heads()]
    kinds = {
        "mamba": lambda: _Kind(_ONE_GROUP, _twice("mamba")),
        "mamba2": lambda: _Kind(_SSM, _twice("mamba2")),
        "rwkv6": lambda: _Kind(
            _RWKV6, [[of.rwkv6_time_mix(), of.rwkv_norms(), of.channel_mix(receptance=True)] for _ in range(2)]
        ),
        "rwkv6qwen2": lambda: _Kind({**_RWKV6, "token_shift_count": 1}, _twice("rwkv6_time_mix", "feed_forward")),
        "rwkv7": lambda: _Kind(_RWKV7, _twice("rwkv7_time_mix", "rwkv_norms", "channel_mix")),
        "arwkv7": lambda: _Kind({**_RWKV7, "token_shift_count": 1}, _twice("rwkv7_time_mix", "feed_forward")),
        "jamba": lambda: _Kind(
            _ONE_GROUP,
            [[of.mamba(), of.norms_of_mamba(), of.feed_forward()], [of.attention(), of.feed_forward()]],
        ),
        "plamo2": lambda: _Kind(
            _ONE_GROUP,
            [[of.plamo_mamba(), of.plamo_feed_forward()], [of.plamo_attention(), of.plamo_feed_forward()]],
        ),
        "granitehybrid": lambda: _Kind(_SSM, [[of.mamba2(), of.feed_forward()], [of.attention(), of.feed_forward()]]),
        "falcon-h1": lambda: _Kind(
            {**_SSM, "attention.head_count_kv": KV_HEADS},
            [[of.mamba2(), of.attention(), of.feed_forward("ffn_norm")] for _ in range(2)],
        ),
        "nemotron_h": lambda: _Kind(_SSM, [[of.mamba2()], [of.multilayer_perceptron()], [of.attention()]]),
        "nemotron_h_moe": lambda: _Kind(
            {**_SSM, **_EXPERTS, "expert_weights_norm": 1, "expert_weights_scale": 1.0, "expert_shared_count": 1},
            [
                [of.mamba2()],
                [of.experts("attn_norm.weight", gated=False), of.expert_biases(), of.shared_expert(gated=False)],
                [of.attention()],
            ],
        ),
        "lfm2": lambda: _Kind(
            _LFM2,
            [
                [of.short_convolution(), of.feed_forward()],
                [of.attention(), of.norms_of_heads(), of.feed_forward()],
            ],
        ),
        "lfm2moe": lambda: _Kind(
            {**_LFM2, **_EXPERTS, "leading_dense_block_count": 1, "expert_gating_func": 2},
            [
                [of.short_convolution(), of.feed_forward()],
                [of.attention(), of.norms_of_heads(), of.experts(), of.expert_biases()],
            ],
        ),
        "qwen3next": lambda: _Kind(
            {**_DELTA, **_EXPERTS, "full_attention_interval": 2},
            [
                [of.delta_net(joined=True), of.experts(gated), of.shared_expert()],
                [*full, of.experts(gated), of.shared_expert()],
            ],
        ),
        "qwen35": lambda: _Kind(
            _DELTA, [*([of.delta_net(), of.feed_forward(gated)] for _ in range(3)), [*full, of.feed_forward(gated)]]
        ),
        "qwen35moe": lambda: _Kind(
            {**_DELTA, **_EXPERTS, "attention.recurrent_layers": [1, 0]},
            [
                [of.delta_net(), of.experts(gated), of.shared_expert()],
                [*full, of.experts(gated), of.shared_expert()],
            ],
        ),
        WINDOWED: lambda: _Kind(_WINDOW, [[of.attention(), of.sinks(), of.feed_forward()] for _ in range(3)]),
        "kimi-linear": lambda: _Kind(
            _KIMI, [[of.kimi_delta(), of.feed_forward()], [of.latent_attention(), of.feed_forward()]]
        ),
        "minimax-01": lambda: _Kind(
            _MINIMAX, [[of.lightning_attention(), of.experts()], [of.attention(), of.experts()]]
        ),
    }
    return kinds[architecture]()


ARCHITECTURES = (
    *("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"),
    *("jamba", "plamo2", "granitehybrid", "falcon-h1", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe"),
    *("qwen3next", "qwen35", "qwen35moe", "kimi-linear", "minimax-01"),
)
"""Those that `write_recurrent_model` can write."""


WINDOWED = "granite_swa"
"""An architecture that can be written too, without recurrent layers: the key `attention.sliding_window` bounds what two
of its three layers see."""


def write_recurrent_model(
    path: Path, architecture: str, *, seed: int = 0, keys: Keys | None = None, template: str = TEMPLATE
) -> Path:
    """Writes a model of an architecture, with more keys of its metadata, and returns its path."""
    kind = _kind(architecture)
    layers = [dict(shape for part in parts for shape in part) for parts in kind.layers]
    kv_heads = [KV_HEADS if {"attn_k.weight", "attn_qkv.weight"} & layer.keys() else 0 for layer in layers]
    writer = GGUFWriter(path, architecture)
    writer.add_name(f"tiny {architecture}")
    common: Keys = {
        "context_length": 2048,
        "embedding_length": WIDTH,
        "block_count": len(layers),
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
        "feed_forward_length": [_hidden(layer) for layer in layers],
        "attention.head_count": HEADS,
        "attention.head_count_kv": kv_heads,
        "rope.dimension_count": HEAD,
    }
    for key, value in {**common, **kind.keys, **(keys or {})}.items():
        _add(writer, f"{architecture}.{key}", value)
    vocabulary = add_byte_vocabulary(writer, SPECIAL)
    writer.add_vocab_size(vocabulary)
    writer.add_chat_template(template)
    _add_tensors(writer, layers, vocabulary, seed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: GGUFWriter, key: str, value: Value) -> None:
    if isinstance(value, list):
        writer.add_array(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif key.endswith("_norm"):
        writer.add_bool(key, bool(value))
    else:
        writer.add_uint32(key, value)


def _hidden(layer: dict[str, tuple[int, ...]]) -> int:
    return HIDDEN if any(name.startswith(("ffn_up", "channel_mix_key")) for name in layer) else 0


def _add_tensors(writer: GGUFWriter, layers: list[dict[str, tuple[int, ...]]], vocabulary: int, seed: int) -> None:
    random = np.random.default_rng(seed)

    def normal(shape: tuple[int, ...], scale: float) -> np.ndarray:
        return random.normal(0.0, scale, shape).astype(np.float32)

    writer.add_tensor("token_embd.weight", normal((vocabulary, WIDTH), WIDTH**-0.5))
    has_biases = "attn_norm.bias" in layers[0]
    last = "token_embd_norm" if any("shortconv.conv.weight" in layer for layer in layers) else "output_norm"
    for norm in (last, "token_embd_norm") if has_biases else (last,):
        writer.add_tensor(f"{norm}.weight", np.ones(WIDTH, np.float32))
        if has_biases:
            writer.add_tensor(f"{norm}.bias", np.zeros(WIDTH, np.float32))
    for index, layer in enumerate(layers):
        for name, shape in layer.items():
            if name == "ssm_a":  # Negative: the state decays.
                values = -np.exp(normal(shape, 0.5))
            elif "norm" in name and not name.endswith(".bias"):
                values = np.ones(shape, np.float32)
            else:
                values = normal(shape, 0.5 if len(shape) == 1 else shape[-1] ** -0.5)
            writer.add_tensor(f"blk.{index}.{name}", values)
    writer.add_tensor("output.weight", normal((vocabulary, WIDTH), 2.0 * WIDTH**-0.5))
