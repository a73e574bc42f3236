"""Qwen, Qwen2 and Qwen2.5, Qwen3."""

from typing import ClassVar

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata, Rope
from llm_inference_api.models.convert.tensors.rule import Rule, linear, rms_norm

_WINDOWED = "sliding_attention"
_KINDS = ("full_attention", _WINDOWED)
"""transformers' names of attention layers (`layer_types`)."""


class Qwen2(Family):
    """Qwen2 and Qwen2.5."""

    architectures: ClassVar[tuple[str, ...]] = ("Qwen2ForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("qwen2",)
    name = "qwen2"

    @property
    def sliding_window(self) -> int | None:
        """The window in tokens where at least one layer has one: by `layer_types`, else from max_window_layers on."""
        allowed = self.config.flag("use_sliding_window", default=False)
        kinds = self.config.items("layer_types")
        if kinds:
            if len(kinds) != self.layers or any(kind not in _KINDS for kind in kinds):
                raise self.config.error("layer_types", f"a list of {self.layers} times {' or '.join(_KINDS)}", kinds)
            used = _WINDOWED in kinds
            if used and not allowed:
                raise self.config.error("use_sliding_window", f"true where 'layer_types' has {_WINDOWED}", allowed)
        else:
            used = allowed and self.config.integer("max_window_layers", 28, minimum=0) < self.layers
        return self.config.integer("sliding_window", 4096) if used else None

    def head_norm_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of the norms of queries and keys; none here."""
        return ()

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            rms_norm("input_layernorm", "attn_norm"),
            linear("self_attn.q_proj", "attn_q", ("q", "hidden")),
            linear("self_attn.k_proj", "attn_k", ("kv", "hidden")),
            linear("self_attn.v_proj", "attn_v", ("kv", "hidden")),
            # llama.cpp reads no bias of this projection.
            linear("self_attn.o_proj", "attn_output", ("hidden", "q"), bias=False),
            *self.head_norm_rules(),
            rms_norm("post_attention_layernorm", "ffn_norm"),
            linear("mlp.gate_proj", "ffn_gate", ("ff", "hidden"), bias=False),
            linear("mlp.up_proj", "ffn_up", ("ff", "hidden"), bias=False),
            linear("mlp.down_proj", "ffn_down", ("hidden", "ff"), bias=False),
        )


class Qwen3(Qwen2):
    """Qwen3: Qwen2 with norms of queries and keys and without biases."""

    architectures: ClassVar[tuple[str, ...]] = ("Qwen3ForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("qwen3",)
    name = "qwen3"
    free_head_size = True

    def __init__(self, config: Config) -> None:
        super().__init__(config.with_defaults({"head_dim": 128}))

    def check(self) -> None:
        """Raises as Family's does, and for biases, which llama.cpp does not have here."""
        super().check()
        self.config.require("attention_bias", (False,), False)

    def head_norm_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of the norms of queries and keys."""
        return (
            rms_norm("self_attn.q_norm", "attn_q_norm", "head"),
            rms_norm("self_attn.k_norm", "attn_k_norm", "head"),
        )


class Qwen(Family):
    """The first Qwen: a fused projection of queries, keys and values, and field names of its own."""

    architectures: ClassVar[tuple[str, ...]] = ("QWenLMHeadModel",)
    model_types: ClassVar[tuple[str, ...]] = ("qwen",)
    name = "qwen"
    output_required = True

    def read_feed_forward(self) -> int:
        """Returns the width of gate and up projection, of which `intermediate_size` is the sum."""
        return self.config.integer("intermediate_size") // 2

    def read_max_positions(self) -> int:
        """Returns the number of positions up to which the checkpoint's code scales nothing."""
        # Beyond seq_length it scales queries (use_logn_attn) and the rope base (use_dynamic_ntk).
        limit = self.config.integer("max_position_embeddings", 8192)
        return min(limit, self.config.integer("seq_length", limit))

    def read_rope(self) -> Rope:
        """Returns the rotary embedding."""
        theta = self.config.positive("rotary_emb_base", 10000.0)
        return Rope(theta, self.rotated, self.max_positions, "default", self.config)

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("layer_norm_epsilon", 1e-6)

    def metadata(self) -> Metadata:
        """Returns Family's metadata with the sum of both widths, which llama.cpp halves for this architecture."""
        return super().metadata() | {"feed_forward_length": 2 * self.ff}

    def check(self) -> None:
        """Raises as Family's does, and for options that llama.cpp does not have here."""
        super().check()
        self.config.require("no_bias", (True,), True)
        self.config.require("scale_attn_weights", (True,), True)
        if self.config.number("rotary_pct", 1.0) != 1.0:
            raise self.config.error("rotary_pct", "1.0", self.config.values["rotary_pct"])
        if self.kv_heads != self.heads:
            raise ConversionError(f"{self.config.origin}: num_key_value_heads must be {self.heads} for 'qwen'")

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            rms_norm("ln_1", "attn_norm"),
            (
                Rule("attn.c_attn.weight", "attn_qkv.weight", ("qkv", "hidden")),
                Rule("attn.c_attn.bias", "attn_qkv.bias", ("qkv",)),
                Rule("attn.c_proj.weight", "attn_output.weight", ("hidden", "q")),
            ),
            rms_norm("ln_2", "ffn_norm"),
            # The checkpoint computes c_proj(w1(x) · silu(w2(x))): w2 is the gate.
            linear("mlp.w1", "ffn_up", ("ff", "hidden"), bias=False),
            linear("mlp.w2", "ffn_gate", ("ff", "hidden"), bias=False),
            linear("mlp.c_proj", "ffn_down", ("hidden", "ff"), bias=False),
        )

    def source_name(self, name: str) -> str | None:
        """Returns the name that rules use, which is that of later Qwens outside the layers."""
        renamed = {
            "transformer.wte.weight": "model.embed_tokens.weight",
            "transformer.ln_f.weight": "model.norm.weight",
        }.get(name, name.replace("transformer.h.", "model.layers.", 1))
        return super().source_name(renamed)
