"""Llama 2 and 3, Code Llama, TinyLlama, Mistral, and Mixtral."""

from typing import ClassVar

from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.families.windowed import WindowedLlama
from llm_inference_api.models.convert.tensors.rule import Rule, interleaved_heads, linear, rms_norm

# llama.cpp's LLAMA_MAX_EXPERTS.
_MAX_EXPERTS = 1024


class Llama(WindowedLlama):
    architectures: ClassVar[tuple[str, ...]] = ("LlamaForCausalLM", "LLaMAForCausalLM")
    full_name = "llama"
    free_head_size = True

    @property
    def window(self) -> int | None:
        return None

    def attention_rules(self) -> tuple[tuple[Rule, ...], ...]:
        queries, keys = interleaved_heads(self.heads), interleaved_heads(self.kv_heads)
        return (
            rms_norm("input_layernorm", "attn_norm"),
            linear("self_attn.q_proj", "attn_q", "q", "hidden", rows=queries),
            linear("self_attn.k_proj", "attn_k", "kv", "hidden", rows=keys),
            linear("self_attn.v_proj", "attn_v", "kv", "hidden"),
            linear("self_attn.o_proj", "attn_output", "hidden", "q"),
            rms_norm("post_attention_layernorm", "ffn_norm"),
        )

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        return (
            *self.attention_rules(),
            linear("mlp.gate_proj", "ffn_gate", "ff", "hidden"),
            linear("mlp.up_proj", "ffn_up", "ff", "hidden"),
            linear("mlp.down_proj", "ffn_down", "hidden", "ff"),
        )


class Mistral(Llama):
    architectures: ClassVar[tuple[str, ...]] = ("MistralForCausalLM",)

    @property
    def window(self) -> int | None:
        return self.configured_window


class Mixtral(Mistral):
    architectures: ClassVar[tuple[str, ...]] = ("MixtralForCausalLM",)
    default_theta = 1e6

    @property
    def experts(self) -> int:
        return self.config.integer("num_local_experts", 8, maximum=_MAX_EXPERTS)

    @property
    def sizes(self) -> dict[str, int]:
        return super().sizes | {"experts": self.experts}

    def metadata(self) -> Metadata:
        used = self.config.integer("num_experts_per_tok", 2)
        return super().metadata() | {"expert_count": self.experts, "expert_used_count": used}

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
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
