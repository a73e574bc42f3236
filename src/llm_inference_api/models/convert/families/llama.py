"""Llama, Mistral and Mixtral, with the models of the same architectures: Code Llama, TinyLlama, SmolLM."""

from typing import ClassVar

from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.families.windowed import WindowedLlama
from llm_inference_api.models.convert.tensors.rule import Rule, interleaved_heads, linear, rms_norm

_MAX_EXPERTS = 1024
"""llama.cpp's LLAMA_MAX_EXPERTS (llama-hparams.h)."""


class Llama(WindowedLlama):
    """Llama 1 to 3."""

    architectures: ClassVar[tuple[str, ...]] = ("LlamaForCausalLM", "LLaMAForCausalLM")
    model_types: ClassVar[tuple[str, ...]] = ("llama",)
    full_name = "llama"
    free_head_size = True

    @property
    def window(self) -> int | None:
        """None: transformers' Llama ignores sliding_window."""
        return None

    def attention_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of attention and of the norms before attention and feed-forward network."""
        queries, keys = interleaved_heads(self.heads), interleaved_heads(self.kv_heads)
        return (
            rms_norm("input_layernorm", "attn_norm"),
            linear("self_attn.q_proj", "attn_q", ("q", "hidden"), rows=queries),
            linear("self_attn.k_proj", "attn_k", ("kv", "hidden"), rows=keys),
            linear("self_attn.v_proj", "attn_v", ("kv", "hidden")),
            linear("self_attn.o_proj", "attn_output", ("hidden", "q")),
            rms_norm("post_attention_layernorm", "ffn_norm"),
        )

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            *self.attention_rules(),
            linear("mlp.gate_proj", "ffn_gate", ("ff", "hidden")),
            linear("mlp.up_proj", "ffn_up", ("ff", "hidden")),
            linear("mlp.down_proj", "ffn_down", ("hidden", "ff")),
        )


class Mistral(Llama):
    """Mistral: Llama with an optional sliding window."""

    architectures: ClassVar[tuple[str, ...]] = ("MistralForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("mistral",)

    @property
    def window(self) -> int | None:
        """The sliding window in tokens, None where config.json has none."""
        return self.configured_window


class Mixtral(Mistral):
    """Mixtral: Mistral with a mixture of experts as its feed-forward network."""

    architectures: ClassVar[tuple[str, ...]] = ("MixtralForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("mixtral",)
    default_theta = 1e6

    @property
    def experts(self) -> int:
        """Number of experts of a layer."""
        return self.config.integer("num_local_experts", 8, maximum=_MAX_EXPERTS)

    @property
    def sizes(self) -> dict[str, int]:
        """Family's dimensions with the number of experts."""
        return super().sizes | {"experts": self.experts}

    def metadata(self) -> Metadata:
        """Returns the metadata with the numbers of experts and of those used for a token."""
        used = self.config.integer("num_experts_per_tok", 2)
        return super().metadata() | {"expert_count": self.experts, "expert_used_count": used}

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer; the matrices of all its experts are stacked."""
        experts = "block_sparse_moe.experts.{item}"
        return (
            *self.attention_rules(),
            (
                Rule("block_sparse_moe.gate.weight", "ffn_gate_inp.weight", ("experts", "hidden"), float32=True),
                Rule(f"{experts}.w1.weight", "ffn_gate_exps.weight", ("ff", "hidden"), stacked="experts"),
                Rule(f"{experts}.w2.weight", "ffn_down_exps.weight", ("hidden", "ff"), stacked="experts"),
                Rule(f"{experts}.w3.weight", "ffn_up_exps.weight", ("ff", "hidden"), stacked="experts"),
            ),
        )
