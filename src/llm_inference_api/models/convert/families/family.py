"""What every family of decoders shares: hyperparameters, their metadata, and the outer tensors."""

from collections.abc import Sequence
from typing import ClassVar

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.rope import Metadata, Rope, RopeEncoding, read_rope
from llm_inference_api.models.convert.tensors.element_type import Float32Array
from llm_inference_api.models.convert.tensors.rule import Rule, in_layer

# llama.cpp's LLAMA_MAX_LAYERS.
_MAX_LAYERS = 512
# No model is near these; beyond them a file asks for memory rather than for a model.
_MAX_HEADS = 4096
_MAX_HEAD_SIZE = 8192


class Family:
    """One architecture of llama.cpp and the checkpoints that become it; subclasses are mostly tables."""

    architectures: ClassVar[tuple[str, ...]]
    name: str
    activations: ClassVar[tuple[str, ...]] = ("silu", "swish")
    activation_field: ClassVar[str] = "hidden_act"
    rms: ClassVar[bool] = True
    default_theta: ClassVar[float] = 10000.0
    default_tied: ClassVar[bool] = False
    # Whether llama.cpp's architecture reads an output matrix of its own even when it equals the embedding's.
    output_required: ClassVar[bool] = False
    # Whether it reads one at all.
    output_allowed: ClassVar[bool] = True
    free_head_size: ClassVar[bool] = False
    # The rotated share of a head where the file names none; whether llama.cpp rotates less than all of it.
    rotated_share: ClassVar[float] = 1.0
    partial_rotation: ClassVar[bool] = False
    factor_tensors: ClassVar[bool] = False
    # Checkpoint tensors that hold nothing to convert.
    ignored: ClassVar[tuple[str, ...]] = (r".*\.rotary_emb\.inv_freq", r".*\.attn\.(masked_)?bias")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.hidden = config.integer("hidden_size")
        self.layers = config.integer("num_hidden_layers", maximum=_MAX_LAYERS)
        self.heads = config.integer("num_attention_heads", maximum=_MAX_HEADS)
        self.kv_heads = config.integer("num_key_value_heads", self.heads)
        self.head_size = config.integer("head_dim", max(self.hidden // self.heads, 1), maximum=_MAX_HEAD_SIZE)
        self.ff = self.read_feed_forward()
        self.vocab = config.integer("vocab_size")
        self.max_positions = self.read_max_positions()
        self.tied = config.flag("tie_word_embeddings", self.default_tied)
        self.check()
        self.rope = self.read_rope()

    def read_feed_forward(self) -> int:
        return self.config.integer("intermediate_size")

    def read_max_positions(self) -> int:
        return self.config.integer("max_position_embeddings")

    def read_rope(self) -> Rope:
        return read_rope(
            self.config,
            dimensions=self.rotated,
            context_length=self.max_positions,
            theta=self.default_theta,
        )

    @property
    def rotated(self) -> int:
        share = self.config.section("rope_parameters").number("partial_rotary_factor", self.rotated_share)
        share = self.config.number("partial_rotary_factor", share)
        if share != 1.0 and not self.partial_rotation:
            raise self.config.error("partial_rotary_factor", f"1.0 for {self.name!r} in llama.cpp", share)
        rotated = int(share * self.head_size)
        if not 0 < rotated <= self.head_size or rotated % 2:
            raise self.config.error("partial_rotary_factor", "a share that rotates pairs of a head", share)
        return rotated

    @property
    def norm_epsilon(self) -> float:
        return self.config.positive("rms_norm_eps", 1e-6)

    @property
    def sliding_window(self) -> int | None:
        """The window of an attention that llama.cpp's architecture computes in full."""
        return None

    @property
    def context_length(self) -> int:
        """Up to the window both attend to the same positions: the file promises no more than that."""
        return min(self.rope.reach, self.sliding_window or self.rope.reach)

    @property
    def sizes(self) -> dict[str, int]:
        return {
            "vocab": self.vocab,
            "hidden": self.hidden,
            "q": self.heads * self.head_size,
            "kv": self.kv_heads * self.head_size,
            "qkv": (self.heads + 2 * self.kv_heads) * self.head_size,
            "head": self.head_size,
            "heads": self.heads,
            "kv_heads": self.kv_heads,
            "ff": self.ff,
            "2ff": 2 * self.ff,
        }

    def check(self) -> None:
        """Refuse what llama.cpp would compute differently, or abort on."""
        if self.activation_field in self.config:
            self.config.require(self.activation_field, self.activations)
        if not self.tied and not self.output_allowed:
            raise self.config.error("tie_word_embeddings", f"true for {self.name!r} in llama.cpp", False)
        if self.heads % self.kv_heads:
            raise self.config.error("num_key_value_heads", f"a divisor of {self.heads}", self.kv_heads)
        if not self.free_head_size and self.heads * self.head_size != self.hidden:
            raise ConversionError(
                f"{self.config.origin}: head_dim {self.head_size} × {self.heads} heads must be hidden_size "
                f"{self.hidden} for the architecture {self.name!r} of llama.cpp"
            )

    def metadata(self) -> Metadata:
        """Hyperparameters, keys without the architecture's prefix."""
        epsilon = "attention.layer_norm_rms_epsilon" if self.rms else "attention.layer_norm_epsilon"
        return {
            "vocab_size": self.vocab,
            "context_length": self.context_length,
            "embedding_length": self.hidden,
            "block_count": self.layers,
            "feed_forward_length": self.ff,
            "attention.head_count": self.heads,
            "attention.head_count_kv": self.kv_heads,
            "attention.key_length": self.head_size,
            "attention.value_length": self.head_size,
            epsilon: self.norm_epsilon,
        }

    def rope_encoding(self) -> RopeEncoding:
        return self.rope.encoded(factor_tensors=self.factor_tensors)

    def added_tensors(self) -> dict[str, Float32Array]:
        """Tensors that llama.cpp's architecture wants beside the checkpoint's."""
        return {}

    def layer_rules(self) -> Sequence[tuple[Rule, ...]]:
        raise NotImplementedError

    def norm_rules(self) -> tuple[Rule, ...]:
        return (Rule("model.norm.weight", "output_norm.weight", ("hidden",)),)

    def output_rules(self) -> tuple[Rule, ...]:
        if not self.tied:
            return (Rule("lm_head.weight", "output.weight", ("vocab", "hidden")),)
        if self.output_required:
            return (Rule("model.embed_tokens.weight", "output.weight", ("vocab", "hidden")),)
        return ()

    def rules(self) -> tuple[Rule, ...]:
        return (
            Rule("model.embed_tokens.weight", "token_embd.weight", ("vocab", "hidden")),
            *in_layer(*self.layer_rules()),
            *self.norm_rules(),
            *self.output_rules(),
        )

    def source_name(self, name: str) -> str | None:
        """The name of a tensor as the rules write it, None for what is no part of the text model."""
        return None if self.tied and name == "lm_head.weight" else name
