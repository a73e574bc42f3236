"""Gemma 1, 2 and 3 (the text model of the multimodal ones)."""

import math
from typing import ClassVar

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata, Rope, RopeEncoding, read_rope
from llm_inference_api.models.convert.tensors.rule import Rule, ValueChange, linear, plus_one, rms_norm, scaled

_KINDS = ("sliding_attention", "full_attention")


class Gemma(Family):
    architectures: ClassVar[tuple[str, ...]] = ("GemmaForCausalLM",)
    name = "gemma"
    # transformers computes the tanh approximation for Gemma 1 whatever "gelu" variant the file names.
    activations: ClassVar[tuple[str, ...]] = ("gelu_pytorch_tanh", "gelu")
    default_tied = True
    output_allowed = False
    free_head_size = True
    default_head_size = 256

    def __init__(self, config: Config) -> None:
        present = {name: value for name, value in config.values.items() if value is not None}
        super().__init__(Config({"head_dim": self.default_head_size} | present, config.origin))

    def check(self) -> None:
        super().check()
        self.config.require("attention_bias", (False,), False)
        self.config.require("use_bidirectional_attention", (False,), False)

    def attention_rules(self, queries: ValueChange | None = None) -> tuple[tuple[Rule, ...], ...]:
        return (
            rms_norm("input_layernorm", "attn_norm", change=plus_one),
            (Rule("self_attn.q_proj.weight", "attn_q.weight", ("q", "hidden"), change=queries),),
            linear("self_attn.k_proj", "attn_k", "kv", "hidden", bias=False),
            linear("self_attn.v_proj", "attn_v", "kv", "hidden", bias=False),
            linear("self_attn.o_proj", "attn_output", "hidden", "q", bias=False),
        )

    def feed_forward_rules(self) -> tuple[tuple[Rule, ...], ...]:
        return (
            linear("mlp.gate_proj", "ffn_gate", "ff", "hidden", bias=False),
            linear("mlp.up_proj", "ffn_up", "ff", "hidden", bias=False),
            linear("mlp.down_proj", "ffn_down", "hidden", "ff", bias=False),
        )

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        norm = rms_norm("post_attention_layernorm", "ffn_norm", change=plus_one)
        return (*self.attention_rules(), norm, *self.feed_forward_rules())

    def norm_rules(self) -> tuple[Rule, ...]:
        return (Rule("model.norm.weight", "output_norm.weight", ("hidden",), change=plus_one),)


class Gemma2(Gemma):
    architectures: ClassVar[tuple[str, ...]] = ("Gemma2ForCausalLM",)
    name = "gemma2"
    activations = ("gelu_pytorch_tanh",)
    activation_field = "hidden_activation"
    # llama.cpp recognises the 27B by its layers and divides by √(hidden/heads) there, by √head_dim elsewhere.
    layers_scaled_by_width = 46
    default_window = 4096

    @property
    def query_factor(self) -> float:
        """What queries are multiplied by for llama.cpp's attention scale to become the checkpoint's."""
        wanted = self.config.positive("query_pre_attn_scalar", 256.0)
        by_width = self.layers == self.layers_scaled_by_width
        return math.sqrt((self.hidden // self.heads if by_width else self.head_size) / wanted)

    @property
    def window_layers(self) -> list[bool]:
        """Which layers slide: transformers' layer_types, or every second one, the first included."""
        kinds = self.config.items("layer_types")
        if not kinds:
            return [self.slides_by_default(layer) for layer in range(self.layers)]
        if len(kinds) != self.layers or any(kind not in _KINDS for kind in kinds):
            raise self.config.error("layer_types", f"{self.layers} of sliding_attention, full_attention", kinds)
        return [kind == "sliding_attention" for kind in kinds]

    def slides_by_default(self, layer: int) -> bool:
        return layer % 2 == 0

    def window_metadata(self) -> Metadata:
        return {
            "attention.sliding_window": self.config.integer("sliding_window", self.default_window),
            "attention.sliding_window_pattern": self.window_layers,
        }

    def metadata(self) -> Metadata:
        # Not written means no cap at all to transformers; llama.cpp would take its own default then.
        attention = self.config.number("attn_logit_softcapping")
        final = self.config.number("final_logit_softcapping")
        caps: Metadata = {"attn_logit_softcapping": attention, "final_logit_softcapping": final}
        return super().metadata() | self.window_metadata() | caps

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        queries = scaled(self.query_factor) if self.query_factor != 1.0 else None
        return (*self.attention_rules(queries), *self.sandwich_norms(), *self.feed_forward_rules())

    def sandwich_norms(self) -> tuple[tuple[Rule, ...], ...]:
        return (
            rms_norm("post_attention_layernorm", "post_attention_norm", change=plus_one),
            rms_norm("pre_feedforward_layernorm", "ffn_norm", change=plus_one),
            rms_norm("post_feedforward_layernorm", "post_ffw_norm", change=plus_one),
        )


class Gemma3(Gemma2):
    architectures: ClassVar[tuple[str, ...]] = ("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration")
    name = "gemma3"
    output_allowed = True
    layers_scaled_by_width = 62
    default_theta = 1e6
    # The defaults that a multimodal config leaves out.
    defaults: ClassVar[dict[str, int]] = {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
    }

    def __init__(self, config: Config) -> None:
        text = config.section("text_config") if "text_config" in config else config
        present = {name: value for name, value in text.values.items() if value is not None}
        tied = {"tie_word_embeddings": config.values.get("tie_word_embeddings", True)}
        super().__init__(Config(self.defaults | tied | present, text.origin))

    def check(self) -> None:
        super().check()
        self.config.require("attn_logit_softcapping", (None,))

    def read_rope(self) -> Rope:
        return read_rope(
            self.config,
            dimensions=self.rotated,
            context_length=self.max_positions,
            theta=self.default_theta,
            layers="full_attention",
        )

    def rope_encoding(self) -> RopeEncoding:
        local = self.config.section("rope_parameters").section("sliding_attention")
        theta = local.number("rope_theta", self.config.number("rope_local_base_freq", 10000.0))
        local.require("rope_type", ("default",), "default")
        encoding = super().rope_encoding()
        encoding.metadata["rope.freq_base_swa"] = theta
        return encoding

    def slides_by_default(self, layer: int) -> bool:
        pattern = self.config.integer("sliding_window_pattern", 6)
        return (layer + 1) % pattern != 0

    def metadata(self) -> Metadata:
        final = self.config.number("final_logit_softcapping", 0.0)
        return Gemma.metadata(self) | self.window_metadata() | {"final_logit_softcapping": final}

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        # The query norm follows the projection, so it is what can carry the scale.
        head_norms = (
            rms_norm("self_attn.q_norm", "attn_q_norm", "head", change=scaled(self.query_factor, plus_one)),
            rms_norm("self_attn.k_norm", "attn_k_norm", "head", change=plus_one),
        )
        return (*self.attention_rules(), *head_norms, *self.sandwich_norms(), *self.feed_forward_rules())

    def source_name(self, name: str) -> str | None:
        if name.startswith(("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal")):
            return None
        for nested in ("model.language_model.", "language_model.model."):
            if name.startswith(nested):
                return super().source_name("model." + name.removeprefix(nested))
        return super().source_name(name.removeprefix("language_model."))
