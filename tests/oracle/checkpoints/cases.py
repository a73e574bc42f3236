"""Tiny checkpoints of recurrent, hybrid and windowed architectures: transformers' configuration of each.

Imported by the tests, and by the program that has transformers and not this service.
"""

from typing import Any

VOCABULARY = 320
WINDOW = 8
"""Tokens that a layer with a sliding window sees: fewer than the prompts have."""
PROMPTS = ((40, 0), (27, 1))
"""Tokens of each prompt, and the seed that they come from."""
GREEDY = 16
"""Tokens that follow each prompt."""

COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}
ATTENTION: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
_EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2}
_MAMBA: dict[str, Any] = {"state_size": 16, "conv_kernel": 4, "expand": 2, "intermediate_size": 128}
_MAMBA_2: dict[str, Any] = {
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
}
_DELTA: dict[str, Any] = {
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "partial_rotary_factor": 0.5,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
}
_NEMOTRON: dict[str, Any] = {
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "n_groups": 2,
    "ssm_state_size": 16,
    "conv_kernel": 4,
    "expand": 2,
    "chunk_size": 64,
    "mlp_hidden_act": "relu2",
}
"""All tokens are in one chunk: of several, transformers 5.14 without its kernels computes other scores, which depend on
tokens to come."""
_SECTIONS: dict[str, Any] = {
    "rope_type": "default",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.5,
    "mrope_section": [2, 1, 1],
    "mrope_interleaved": True,
}
_WINDOWS = ["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"]

CASES: dict[str, dict[str, Any]] = {
    "mamba": {"model_type": "mamba", **COMMON, **_MAMBA, "time_step_rank": 4},
    "falcon_mamba": {"model_type": "falcon_mamba", **COMMON, **_MAMBA, "time_step_rank": 4},
    # One group: transformers normalizes all groups of a layer at once, Mamba's own code and llama.cpp each by itself.
    "mamba2": {
        "model_type": "mamba2",
        **COMMON,
        **_MAMBA,
        "num_heads": 8,
        "head_dim": 16,
        "n_groups": 1,
        "chunk_size": 8,
    },
    "jamba": {
        "model_type": "jamba",
        **COMMON,
        **ATTENTION,
        **_EXPERTS,
        "mamba_d_state": 16,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_dt_rank": 4,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "use_mamba_kernels": False,
    },
    "bamba": {"model_type": "bamba", **COMMON, **ATTENTION, **_MAMBA_2, "attn_layer_indices": [1, 3]},
    "granitemoehybrid": {
        "model_type": "granitemoehybrid",
        **COMMON,
        **ATTENTION,
        **_MAMBA_2,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 48,
        "embedding_multiplier": 3.0,
        "logits_scaling": 2.0,
        "residual_multiplier": 0.5,
        "attention_multiplier": 0.2,
        "layer_types": ["mamba", "attention", "mamba", "attention"],
    },
    "falcon_h1": {
        "model_type": "falcon_h1",
        **COMMON,
        **ATTENTION,
        **_MAMBA_2,
        "mamba_d_ssm": 128,
        "mamba_rms_norm": True,
        "mamba_norm_before_gate": False,
        "key_multiplier": 0.7,
        "lm_head_multiplier": 0.8,
        "embedding_multiplier": 2.0,
        "ssm_multipliers": [0.9, 0.8, 1.1, 1.2, 0.7],
        "attention_out_multiplier": 0.9,
        "ssm_out_multiplier": 1.1,
        "mlp_multipliers": [0.8, 1.2],
    },
    "nemotron_h": {
        "model_type": "nemotron_h",
        **COMMON,
        **ATTENTION,
        **_NEMOTRON,
        "hybrid_override_pattern": "M*-M",
    },
    "nemotron_h_moe": {
        "model_type": "nemotron_h",
        **COMMON,
        **ATTENTION,
        **_NEMOTRON,
        "hybrid_override_pattern": "M*EM",
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 48,
        "moe_shared_expert_intermediate_size": 48,
        "routed_scaling_factor": 1.5,
    },
    "lfm2": {
        "model_type": "lfm2",
        **COMMON,
        **ATTENTION,
        "conv_L_cache": 3,
        "layer_types": ["conv", "full_attention", "conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
        "tie_word_embeddings": True,
    },
    "lfm2_moe": {
        "model_type": "lfm2_moe",
        **COMMON,
        **ATTENTION,
        **_EXPERTS,
        "moe_intermediate_size": 48,
        "num_dense_layers": 1,
        "conv_L_cache": 3,
        "tie_word_embeddings": True,
        "layer_types": ["conv", "full_attention", "conv", "full_attention"],
    },
    "qwen3_next": {
        "model_type": "qwen3_next",
        **COMMON,
        **ATTENTION,
        **_EXPERTS,
        **_DELTA,
        "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 48,
        "decoder_sparse_step": 1,
    },
    "qwen3_5": {"model_type": "qwen3_5_text", **COMMON, **ATTENTION, **_DELTA, "rope_parameters": _SECTIONS},
    "qwen3_5_moe": {
        "model_type": "qwen3_5_moe_text",
        **COMMON,
        **ATTENTION,
        **_EXPERTS,
        **_DELTA,
        "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 48,
        "rope_parameters": _SECTIONS,
    },
    "gemma2": {
        "model_type": "gemma2",
        **COMMON,
        **ATTENTION,
        "sliding_window": WINDOW,
        "query_pre_attn_scalar": 16,
        "tie_word_embeddings": True,
    },
    # Six layers, of which llama.cpp takes the last one for that without a window, whatever the configuration says.
    "gemma3": {
        "model_type": "gemma3_text",
        **COMMON,
        **ATTENTION,
        "sliding_window": WINDOW,
        "query_pre_attn_scalar": 16,
        "tie_word_embeddings": True,
        "num_hidden_layers": 6,
        "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
    },
    "gemma4": {
        "model_type": "gemma4_text",
        **COMMON,
        **ATTENTION,
        "sliding_window": WINDOW,
        "layer_types": _WINDOWS,
        "tie_word_embeddings": True,
        "global_head_dim": 16,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": VOCABULARY,
        "num_kv_shared_layers": 0,
    },
    # The largest difference, a cosine of 0.99991: transformers does not round the dimensions where YaRN's ramp begins
    # and ends ("truncate": false), and llama.cpp does. With plain RoPE it is 0.999999.
    "gpt_oss": {
        "model_type": "gpt_oss",
        **COMMON,
        **ATTENTION,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": WINDOW,
        "intermediate_size": 64,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "cohere2": {
        "model_type": "cohere2",
        **COMMON,
        **ATTENTION,
        "sliding_window": WINDOW,
        "layer_types": _WINDOWS,
        "logit_scale": 0.25,
        "tie_word_embeddings": True,
    },
    "olmo3": {
        "model_type": "olmo3",
        **COMMON,
        **ATTENTION,
        "sliding_window": WINDOW,
        "layer_types": _WINDOWS,
    },
}

_NEMOTRON_EXPERTS = (
    *("n_routed_experts", "n_shared_experts", "num_experts_per_tok", "moe_intermediate_size"),
    *("moe_shared_expert_intermediate_size", "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor"),
)
PUBLISHED: dict[str, dict[str, Any]] = {
    "cohere2": {"rotary_pct": 1.0},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "nemotron_h": {
        "num_hidden_layers": 4,
        "hybrid_override_pattern": "M*-M",
        "layers_block_type": None,
        **dict.fromkeys(_NEMOTRON_EXPERTS),
    },
    "nemotron_h_moe": {"num_hidden_layers": 4, "hybrid_override_pattern": "M*EM", "layers_block_type": None},
}
"""What config.json of published checkpoints says otherwise than transformers writes it now; None: nothing. The
converter reads what was published."""
