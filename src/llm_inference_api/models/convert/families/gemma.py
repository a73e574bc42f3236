"""Gemma 1, 2 and 3; of multimodal Gemma 3 the text model."""

import math
from typing import ClassVar

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata, Rope, RopeEncoding, read_rope
from llm_inference_api.models.convert.tensors.rule import Rule, ValueChange, linear, plus_one, rms_norm, scaled

_KINDS = ("sliding_attention", "full_attention")
"""transformers' names of attention layers (`layer_types`)."""


class Gemma(Family):
    """Gemma 1: norms that multiply by 1 + weight, tied embeddings."""

    architectures: ClassVar[tuple[str, ...]] = ("GemmaForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("gemma",)
    name = "gemma"
    activations: ClassVar[tuple[str, ...]] = ("gelu_pytorch_tanh", "gelu")
    """transformers computes the tanh approximation for both."""
    default_tied = True
    output_allowed = False
    free_head_size = True
    default_head_size = 256

    def __init__(self, config: Config) -> None:
        super().__init__(config.with_defaults({"head_dim": self.default_head_size}))

    def check(self) -> None:
        """Raises as Family's does, and for biases and bidirectional attention, which llama.cpp does not have here."""
        super().check()
        self.config.require("attention_bias", (False,), False)
        self.config.require("use_bidirectional_attention", (False,), False)

    def attention_rules(self, queries: ValueChange | None = None) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of the norm before attention and of its projections; `queries` changes the query's."""
        return (
            rms_norm("input_layernorm", "attn_norm", change=plus_one),
            (Rule("self_attn.q_proj.weight", "attn_q.weight", ("q", "hidden"), change=queries),),
            linear("self_attn.k_proj", "attn_k", ("kv", "hidden"), bias=False),
            linear("self_attn.v_proj", "attn_v", ("kv", "hidden"), bias=False),
            linear("self_attn.o_proj", "attn_output", ("hidden", "q"), bias=False),
        )

    def feed_forward_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of the gated feed-forward network."""
        return (
            linear("mlp.gate_proj", "ffn_gate", ("ff", "hidden"), bias=False),
            linear("mlp.up_proj", "ffn_up", ("ff", "hidden"), bias=False),
            linear("mlp.down_proj", "ffn_down", ("hidden", "ff"), bias=False),
        )

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        norm = rms_norm("post_attention_layernorm", "ffn_norm", change=plus_one)
        return (*self.attention_rules(), norm, *self.feed_forward_rules())

    def norm_rules(self) -> tuple[Rule, ...]:
        """Returns the rules of the norm before the output matrix."""
        return (Rule("model.norm.weight", "output_norm.weight", ("hidden",), change=plus_one),)


class Gemma2(Gemma):
    """Gemma 2: norms around attention and feed-forward, soft-caps, a sliding window in every second layer."""

    architectures: ClassVar[tuple[str, ...]] = ("Gemma2ForCausalLM",)
    model_types: ClassVar[tuple[str, ...]] = ("gemma2",)
    name = "gemma2"
    activations = ("gelu_pytorch_tanh",)
    activation_field = "hidden_activation"
    layers_scaled_by_width = 46
    """Layers of the size that llama.cpp takes for the largest (27B).

    It divides attention scores by √(hidden / heads) there, by √head_dim in all other sizes (llama-model.cpp).
    """
    default_window = 4096

    @property
    def query_factor(self) -> float:
        """The factor on queries that turns llama.cpp's attention scale into the checkpoint's."""
        wanted = self.config.positive("query_pre_attn_scalar", 256.0)
        by_width = self.layers == self.layers_scaled_by_width
        return math.sqrt((self.hidden // self.heads if by_width else self.head_size) / wanted)

    @property
    def window_layers(self) -> list[bool]:
        """For each layer, whether it has a sliding window: by `layer_types`, else by `slides_by_default`."""
        kinds = self.config.items("layer_types")
        if not kinds:
            return [self.slides_by_default(layer) for layer in range(self.layers)]
        if len(kinds) != self.layers or any(kind not in _KINDS for kind in kinds):
            raise self.config.error("layer_types", f"a list of {self.layers} times {' or '.join(_KINDS)}", kinds)
        return [kind == "sliding_attention" for kind in kinds]

    def slides_by_default(self, layer: int) -> bool:
        """Returns whether a layer has a sliding window where config.json has no `layer_types`."""
        return layer % 2 == 0

    def window_metadata(self) -> Metadata:
        """Returns the size of the window in tokens and the layers that have it."""
        return {
            "attention.sliding_window": self.config.integer("sliding_window", self.default_window),
            "attention.sliding_window_pattern": self.window_layers,
        }

    def metadata(self) -> Metadata:
        """Returns Family's metadata with window and soft-caps."""
        # Both caps are required: without one llama.cpp takes a default, and transformers caps nothing.
        attention = self.config.number("attn_logit_softcapping")
        final = self.config.number("final_logit_softcapping")
        caps: Metadata = {"attn_logit_softcapping": attention, "final_logit_softcapping": final}
        return super().metadata() | self.window_metadata() | caps

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        queries = scaled(self.query_factor) if self.query_factor != 1.0 else None
        return (*self.attention_rules(queries), *self.sandwich_norms(), *self.feed_forward_rules())

    def sandwich_norms(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of the norms after attention and around the feed-forward network."""
        return (
            rms_norm("post_attention_layernorm", "post_attention_norm", change=plus_one),
            rms_norm("pre_feedforward_layernorm", "ffn_norm", change=plus_one),
            rms_norm("post_feedforward_layernorm", "post_ffw_norm", change=plus_one),
        )


class Gemma3(Gemma2):
    """Gemma 3: norms of queries and keys, no soft-cap of attention, a rope base of its own for windowed layers."""

    architectures: ClassVar[tuple[str, ...]] = ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration")
    model_types: ClassVar[tuple[str, ...]] = ("gemma3", "gemma3_text")
    name = "gemma3"
    output_allowed = True
    layers_scaled_by_width = 62
    default_theta = 1e6
    defaults: ClassVar[dict[str, int]] = {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
    }
    """transformers' defaults of Gemma3TextConfig, which multimodal checkpoints leave out of config.json."""

    def __init__(self, config: Config) -> None:
        text = config.section("text_config") if "text_config" in config else config
        tied = {"tie_word_embeddings": config.values.get("tie_word_embeddings", True)}
        super().__init__(text.with_defaults(self.defaults | tied))

    def check(self) -> None:
        """Raises as Gemma's does, and for a soft-cap of attention."""
        super().check()
        self.config.require("attn_logit_softcapping", (None,))

    def read_rope(self) -> Rope:
        """Returns the rotary embedding of the layers without a window."""
        return read_rope(
            self.config,
            dimensions=self.rotated,
            context_length=self.max_positions,
            theta=self.default_theta,
            layers="full_attention",
        )

    def rope_encoding(self) -> RopeEncoding:
        """Returns both rotary embeddings; that of windowed layers differs in its base and has no scaling."""
        local = self.config.section("rope_parameters").section("sliding_attention")
        theta = local.number("rope_theta", self.config.number("rope_local_base_freq", 10000.0))
        local.require("rope_type", ("default",), "default")
        encoding = super().rope_encoding()
        encoding.metadata["rope.freq_base_swa"] = theta
        return encoding

    def slides_by_default(self, layer: int) -> bool:
        """Returns whether a layer has a sliding window: all but the last of every `sliding_window_pattern` layers."""
        pattern = self.config.integer("sliding_window_pattern", 6)
        return (layer + 1) % pattern != 0

    def metadata(self) -> Metadata:
        """Returns Family's metadata with the window and the soft-cap of the logits."""
        final = self.config.number("final_logit_softcapping", 0.0)
        return Gemma.metadata(self) | self.window_metadata() | {"final_logit_softcapping": final}

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        # A scaled projection would be normalised again, so the weight of the query norm carries the attention scale.
        head_norms = (
            rms_norm("self_attn.q_norm", "attn_q_norm", "head", change=scaled(self.query_factor, plus_one)),
            rms_norm("self_attn.k_norm", "attn_k_norm", "head", change=plus_one),
        )
        return (*self.attention_rules(), *head_norms, *self.sandwich_norms(), *self.feed_forward_rules())

    def source_name(self, name: str) -> str | None:
        """Returns the name that rules use; None for the vision model's tensors and the tied output matrix."""
        if name.startswith(("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal")):
            return None
        for nested in ("model.language_model.", "language_model.model."):
            if name.startswith(nested):
                return super().source_name("model." + name.removeprefix(nested))
        return super().source_name(name.removeprefix("language_model."))
