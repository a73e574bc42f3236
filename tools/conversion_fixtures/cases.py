"""Tiny checkpoints: a configuration for each family and each feature that changes the computation."""

from dataclasses import dataclass, field
from typing import Any

import transformers as tf

VOCAB = 600
"""Rows of the embedding."""
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Hyperparameters that all configurations share."""
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


@dataclass(frozen=True)
class Case:
    """One checkpoint."""

    family: str
    """The family's name for people."""
    features: str
    """What the case covers, for people."""
    tokenizer: str
    """A name of tokenizer_kinds.KINDS."""
    config: Any
    """A configuration of transformers."""
    length: int = 96
    """Number of tokens whose logits are recorded."""
    context: int | None = None
    """llama.cpp's n_ctx where it changes the computation."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Changes to config.json after transformers has written it."""


def _case(family: str, features: str, tokenizer: str, kind: Any, **options: Any) -> Case:
    own = {name: options.pop(name) for name in ("length", "context", "changes") if name in options}
    return Case(family, features, tokenizer, kind(**(SIZES | options)), **own)


def _longrope(length: int, original: int, context: int) -> Case:
    half = 6
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "original_max_position_embeddings": original,
        "short_factor": [1.0 + 0.05 * n for n in range(half)],
        "long_factor": [1.0 + 0.7 * n for n in range(half)],
        "partial_rotary_factor": 1.0,
    }
    return _case(
        "Phi-3.5",
        f"longrope, {'long' if length > original else 'short'} factors",
        "phi3",
        tf.Phi3Config,
        length=length,
        context=context,
        rope_parameters=rope,
        sliding_window=None,
        num_key_value_heads=4,
        original_max_position_embeddings=original,
        max_position_embeddings=4 * original,
    )


GEMMA = {"head_dim": 16, "tie_word_embeddings": True}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
LAYERS3 = ["sliding_attention", "sliding_attention", "full_attention"]

CASES = {
    "llama2": _case("Llama 2, TinyLlama", "grouped queries", "llama2", tf.LlamaConfig),
    "codellama": _case(
        "Code Llama",
        "rope base 1e6, linear scaling",
        "codellama",
        tf.LlamaConfig,
        rope_parameters={"rope_type": "linear", "rope_theta": 1e6, "factor": 2.0},
    ),
    "llama3": _case(
        "Llama 3",
        "tied embeddings, llama3 rope scaling",
        "llama3",
        tf.LlamaConfig,
        tie_word_embeddings=True,
        rope_parameters=LLAMA3,
    ),
    "llama_bias": _case(
        "Llama",
        "biases, head_dim ≠ hidden/heads, yarn",
        "llama2",
        tf.LlamaConfig,
        attention_bias=True,
        mlp_bias=True,
        head_dim=20,
        rope_parameters=YARN,
    ),
    "llama_yarn": _case(
        "Llama",
        "yarn with its own betas and attention factor",
        "llama2",
        tf.LlamaConfig,
        rope_parameters=YARN | {"beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.3},
    ),
    "mistral": _case(
        "Mistral",
        "no window, head_dim ≠ hidden/heads",
        "mistral",
        tf.MistralConfig,
        head_dim=16,
        sliding_window=None,
    ),
    "mistral_window": _case(
        "Mistral",
        "window of 24, head_dim ≠ hidden/heads",
        "mistral",
        tf.MistralConfig,
        head_dim=16,
        sliding_window=24,
    ),
    "mixtral": _case(
        "Mixtral",
        "4 experts, 2 used",
        "mistral",
        tf.MixtralConfig,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=None,
    ),
    "mixtral_window": _case(
        "Mixtral",
        "window of 24",
        "mistral",
        tf.MixtralConfig,
        num_local_experts=4,
        num_experts_per_tok=2,
        sliding_window=24,
    ),
    "qwen1": _case(
        "Qwen",
        "fused attention, biases (weights of a Qwen2 renamed)",
        "qwen1",
        tf.Qwen2Config,
        num_key_value_heads=4,
    ),
    "qwen2": _case("Qwen2", "biases, tied embeddings", "qwen2", tf.Qwen2Config, tie_word_embeddings=True),
    "qwen25": _case("Qwen2.5", "biases, yarn", "qwen2", tf.Qwen2Config, rope_parameters=YARN | {"rope_theta": 1e6}),
    "qwen3": _case("Qwen3", "head norms, head_dim ≠ hidden/heads", "qwen2", tf.Qwen3Config, head_dim=16),
    "gemma": _case("Gemma 1", "tied embeddings, head_dim ≠ hidden/heads", "gemma", tf.GemmaConfig, **GEMMA),
    "gemma2": _case(
        "Gemma 2",
        "soft-caps, alternating window of 24",
        "gemma",
        tf.Gemma2Config,
        **GEMMA,
        sliding_window=24,
        query_pre_attn_scalar=16,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=8.0,
    ),
    "gemma2_scale": _case(
        "Gemma 2",
        "query scale ≠ head_dim",
        "gemma",
        tf.Gemma2Config,
        **GEMMA,
        sliding_window=24,
        query_pre_attn_scalar=40,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
    ),
    "gemma3": _case(
        "Gemma 3",
        "head norms, window of 24 in 2 of 3 layers, two rope bases, query scale ≠ head_dim",
        "gemma",
        tf.Gemma3TextConfig,
        **GEMMA | {"num_hidden_layers": 3},
        sliding_window=24,
        query_pre_attn_scalar=24,
        layer_types=LAYERS3,
        rope_parameters=GEMMA3_ROPE | {"full_attention": {"rope_type": "default", "rope_theta": 1e6}},
    ),
    "gemma3_linear": _case(
        "Gemma 3",
        "linear rope scaling of the global layers",
        "gemma",
        tf.Gemma3TextConfig,
        **GEMMA | {"num_hidden_layers": 3},
        sliding_window=24,
        query_pre_attn_scalar=16,
        layer_types=LAYERS3,
        rope_parameters=GEMMA3_ROPE,
    ),
    "phi2": _case(
        "Phi-2",
        "biases, partial rotation, parallel residual",
        "gpt2",
        tf.PhiConfig,
        num_key_value_heads=4,
        hidden_size=64,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    ),
    "phi3": _case("Phi-3", "fused projections, grouped queries", "phi3", tf.Phi3Config, sliding_window=None),
    "phi3_window": _case("Phi-3", "window of 24, grouped queries", "phi3", tf.Phi3Config, sliding_window=24),
    "phi3_partial": _case(
        "Phi-3",
        "partial rotation",
        "phi3",
        tf.Phi3Config,
        sliding_window=None,
        hidden_size=64,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75},
    ),
    "phi35_short": _longrope(96, 256, 256),
    "phi35_long": _longrope(96, 64, 256),
    "stablelm1": _case(
        "StableLM 1", "partial rotation", "neox", tf.StableLmConfig, hidden_size=64, num_key_value_heads=4
    ),
    "stablelm2": _case(
        "StableLM 2",
        "biases, grouped queries",
        "stablelm2",
        tf.StableLmConfig,
        hidden_size=64,
        use_qkv_bias=True,
    ),
    "stablelm2_12b": _case(
        "StableLM 2 12B",
        "head norms, parallel residual",
        "stablelm2",
        tf.StableLmConfig,
        hidden_size=64,
        qk_layernorm=True,
        use_parallel_residual=True,
    ),
}
