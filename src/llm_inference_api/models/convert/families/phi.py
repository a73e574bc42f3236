"""Phi-2, and Phi-3 with Phi-3.5."""

from typing import ClassVar

from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.windowed import WindowedLlama
from llm_inference_api.models.convert.tensors.rule import (
    RowOrder,
    Rule,
    interleaved_heads,
    layer_norm,
    linear,
    rms_norm,
    row_range,
)


class Phi2(Family):
    architectures: ClassVar[tuple[str, ...]] = ("PhiForCausalLM",)
    name = "phi2"
    activations = ("gelu_new", "gelu_pytorch_tanh")
    rms = False
    output_required = True
    rotated_share = 0.5
    partial_rotation = True

    @property
    def norm_epsilon(self) -> float:
        return self.config.positive("layer_norm_eps", 1e-5)

    def check(self) -> None:
        super().check()
        self.config.require("qk_layernorm", (False,), False)

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        return (
            layer_norm("input_layernorm", "attn_norm"),
            linear("self_attn.q_proj", "attn_q", "q", "hidden", bias=True),
            linear("self_attn.k_proj", "attn_k", "kv", "hidden", bias=True),
            linear("self_attn.v_proj", "attn_v", "kv", "hidden", bias=True),
            linear("self_attn.dense", "attn_output", "hidden", "q", bias=True),
            linear("mlp.fc1", "ffn_up", "ff", "hidden", bias=True),
            linear("mlp.fc2", "ffn_down", "hidden", "ff", bias=True),
        )

    def norm_rules(self) -> tuple[Rule, ...]:
        return layer_norm("model.final_layernorm", "output_norm")

    def output_rules(self) -> tuple[Rule, ...]:
        return (*super().output_rules(), Rule("lm_head.bias", "output.bias", ("vocab",)))


class Phi3(WindowedLlama):
    """Its projections stay fused in llama.cpp's Phi-3 and are taken apart for its windowed Llama."""

    architectures: ClassVar[tuple[str, ...]] = ("Phi3ForCausalLM",)
    full_name = "phi3"
    free_head_size = False
    partial_rotation = True

    @property
    def norm_epsilon(self) -> float:
        return self.config.positive("rms_norm_eps", 1e-5)

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        projections = self.split_projections() if self.windowed else self.fused_projections()
        return (
            rms_norm("input_layernorm", "attn_norm"),
            projections,
            linear("self_attn.o_proj", "attn_output", "hidden", "q", bias=False),
            rms_norm("post_attention_layernorm", "ffn_norm"),
            linear("mlp.down_proj", "ffn_down", "hidden", "ff", bias=False),
        )

    def fused_projections(self) -> tuple[Rule, ...]:
        return (
            Rule("self_attn.qkv_proj.weight", "attn_qkv.weight", ("qkv", "hidden")),
            Rule("mlp.gate_up_proj.weight", "ffn_up.weight", ("2ff", "hidden")),
        )

    def split_projections(self) -> tuple[Rule, ...]:
        queries, keys = self.sizes["q"], self.sizes["kv"]
        attention = {
            "attn_q": interleaved_heads(self.heads, 0, queries),
            "attn_k": interleaved_heads(self.kv_heads, queries, keys),
            "attn_v": row_range(queries + keys, keys),
        }
        feed_forward = {"ffn_gate": row_range(0, self.ff), "ffn_up": row_range(self.ff, self.ff)}
        return (
            *_parts("self_attn.qkv_proj.weight", ("qkv", "hidden"), attention),
            *_parts("mlp.gate_up_proj.weight", ("2ff", "hidden"), feed_forward),
        )


def _parts(source: str, shape: tuple[str, str], targets: dict[str, RowOrder]) -> tuple[Rule, ...]:
    return tuple(Rule(source, f"{target}.weight", shape, rows=rows) for target, rows in targets.items())
