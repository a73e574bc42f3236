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
    """Phi-2: attention and feed-forward in parallel, LayerNorm, biases everywhere."""

    architectures: ClassVar[tuple[str, ...]] = ("PhiForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("phi",)
    name = "phi2"
    activations = ("gelu_new", "gelu_pytorch_tanh")
    rms = False
    output_required = True
    rotated_share = 0.5
    partial_rotation = True

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("layer_norm_eps", 1e-5)

    def check(self) -> None:
        """Raises as Family's does, and for norms of queries and keys, which llama.cpp does not have here."""
        super().check()
        self.config.require("qk_layernorm", (False,), False)

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            layer_norm("input_layernorm", "attn_norm"),
            linear("self_attn.q_proj", "attn_q", ("q", "hidden"), bias=True),
            linear("self_attn.k_proj", "attn_k", ("kv", "hidden"), bias=True),
            linear("self_attn.v_proj", "attn_v", ("kv", "hidden"), bias=True),
            linear("self_attn.dense", "attn_output", ("hidden", "q"), bias=True),
            linear("mlp.fc1", "ffn_up", ("ff", "hidden"), bias=True),
            linear("mlp.fc2", "ffn_down", ("hidden", "ff"), bias=True),
        )

    def norm_rules(self) -> tuple[Rule, ...]:
        """Returns the rules of the norm before the output matrix."""
        return layer_norm("model.final_layernorm", "output_norm")

    def output_rules(self) -> tuple[Rule, ...]:
        """Returns the rules of the output matrix and its bias."""
        return (*super().output_rules(), Rule("lm_head.bias", "output.bias", ("vocab",)))


class Phi3(WindowedLlama):
    """Phi-3 and Phi-3.5: Llama with fused projections.

    llama.cpp's Phi-3 reads them fused; its windowed Llama needs them split.
    """

    architectures: ClassVar[tuple[str, ...]] = ("Phi3ForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("phi3",)
    full_name = "phi3"
    free_head_size = False
    partial_rotation = True

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("rms_norm_eps", 1e-5)

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        projections = self.split_projections() if self.windowed else self.fused_projections()
        return (
            rms_norm("input_layernorm", "attn_norm"),
            projections,
            linear("self_attn.o_proj", "attn_output", ("hidden", "q"), bias=False),
            rms_norm("post_attention_layernorm", "ffn_norm"),
            linear("mlp.down_proj", "ffn_down", ("hidden", "ff"), bias=False),
        )

    def fused_projections(self) -> tuple[Rule, ...]:
        """Returns the rules of the projections as the checkpoint has them."""
        return (
            Rule("self_attn.qkv_proj.weight", "attn_qkv.weight", ("qkv", "hidden")),
            Rule("mlp.gate_up_proj.weight", "ffn_up.weight", ("2ff", "hidden")),
        )

    def split_projections(self) -> tuple[Rule, ...]:
        """Returns the rules of separate projections: query, key, value; gate, up."""
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
