"""The base class of all families: common hyperparameters, their metadata, and the tensors outside the layers."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from llm_inference_api.models.convert.checkpoint import TensorSource, are_equal
from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.rope import Metadata, Rope, RopeEncoding, read_rope
from llm_inference_api.models.convert.sentence_modules import SentenceModules
from llm_inference_api.models.convert.tensors.element_type import Float32Array
from llm_inference_api.models.convert.tensors.rule import Rule, in_layer

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_BASE_PARTS = ("embed_tokens.", "layers.", "norm.")
_MAX_LAYERS = 512
"""llama.cpp's LLAMA_MAX_LAYERS (llama-hparams.h)."""
_MAX_HEADS = 4096
"""Far beyond any model; a larger number can only serve to exhaust memory."""
_MAX_HEAD_SIZE = 8192
"""Far beyond any model, as _MAX_HEADS."""


class Family:
    """An architecture of llama.cpp and the checkpoints that convert to it; subclasses are mostly tables.

    Creating one raises ConversionError where config.json lacks a hyperparameter or has one that llama.cpp would not
    compute with in the same way.
    """

    architectures: ClassVar[tuple[str, ...]]
    """Values of config.json's `architectures` that belong to the family."""
    model_types: ClassVar[tuple[str, ...]]
    """Values of config.json's `model_type` that belong to the family, where there are no `architectures`."""
    name: str
    """llama.cpp's name of the architecture (llama-arch.cpp)."""
    activations: ClassVar[tuple[str, ...]] = ("silu", "swish")
    """Names, in transformers, of the activation that llama.cpp computes."""
    activation_field: ClassVar[str] = "hidden_act"
    """The field of config.json that names the activation."""
    rms: ClassVar[bool] = True
    """Whether the norms are RMSNorm rather than LayerNorm."""
    default_theta: ClassVar[float] = 10000.0
    """Base of the rotary embedding where config.json has none."""
    default_tied: ClassVar[bool] = False
    """Whether embedding and output share a matrix where config.json does not say."""
    output_required: ClassVar[bool] = False
    """Whether llama.cpp requires an output matrix even if it equals the embedding."""
    output_allowed: ClassVar[bool] = True
    """Whether llama.cpp reads an output matrix at all."""
    free_head_size: ClassVar[bool] = False
    """Whether llama.cpp allows a head size other than hidden size / number of heads."""
    rotated_share: ClassVar[float] = 1.0
    """Share of a head that is rotated where config.json has none."""
    partial_rotation: ClassVar[bool] = False
    """Whether llama.cpp can rotate a part of each head."""
    factor_tensors: ClassVar[bool] = False
    """Whether llama.cpp reads per-frequency rope factors from a tensor."""
    is_encoder: ClassVar[bool] = False
    """Whether the model computes embeddings only."""
    layer_prefix: ClassVar[str] = "model.layers."
    """What precedes a layer's number in the names that rules use."""
    ignored: ClassVar[tuple[str, ...]] = (
        r".*\.rotary_emb\.inv_freq",
        r".*\.attn\.(masked_)?bias",
        r"(.*\.)?position_ids",
    )
    """Patterns of tensors that hold no weights: buffers that are computed from the configuration."""
    modules: SentenceModules = SentenceModules()
    """What sentence-transformers does around the model."""

    config: Config
    """The hyperparameters: config.json, with the family's defaults and transformers' current field names."""
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    ff: int
    """Width of the feed-forward network."""
    vocab: int
    """Rows of the embedding."""
    max_positions: int
    tied: bool
    """Whether embedding and output share a matrix."""
    rope: Rope

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
        self.tied = config.flag("tie_word_embeddings", default=self.default_tied)
        self.check()
        self.rope = self.read_rope()

    def read_feed_forward(self) -> int:
        """Returns the width of the feed-forward network."""
        return self.config.integer("intermediate_size")

    def read_max_positions(self) -> int:
        """Returns the number of positions that the checkpoint was trained for, without rope scaling."""
        return self.config.integer("max_position_embeddings")

    def read_rope(self) -> Rope:
        """Returns the rotary embedding."""
        return read_rope(
            self.config,
            dimensions=self.rotated,
            context_length=self.max_positions,
            theta=self.default_theta,
        )

    @property
    def rotated(self) -> int:
        """Number of rotated dimensions of a head."""
        share = self.config.section("rope_parameters").number("partial_rotary_factor", self.rotated_share)
        share = self.config.number("partial_rotary_factor", share)
        if share != 1.0 and not self.partial_rotation:
            raise self.config.error("partial_rotary_factor", f"1.0 for {self.name!r} in llama.cpp", share)
        rotated = int(share * self.head_size)
        if not 0 < rotated <= self.head_size or rotated % 2:
            raise self.config.error("partial_rotary_factor", "a share that gives an even number of dimensions", share)
        return rotated

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("rms_norm_eps", 1e-6)

    @property
    def sliding_window(self) -> int | None:
        """The attention window in tokens where llama.cpp's architecture has none; None where there is no window."""
        return None

    @property
    def context_length(self) -> int:
        """The number of positions that the file declares.

        It ends with a window that llama.cpp does not have: up to there full and windowed attention are the same; and
        where sentence-transformers truncates a text.
        """
        reach = self.rope.reach
        return min(reach, self.sliding_window or reach, self.modules.max_length or reach)

    @property
    def sizes(self) -> dict[str, int]:
        """The dimensions that rules name."""
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
        """Raises ConversionError for hyperparameters with which llama.cpp would compute something else, or abort."""
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
        """Returns the hyperparameters as GGUF metadata, keys without the architecture's prefix."""
        epsilon = "attention.layer_norm_rms_epsilon" if self.rms else "attention.layer_norm_epsilon"
        pooling: Metadata = {} if self.modules.pooling is None else {"pooling_type": int(self.modules.pooling)}
        return pooling | {
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

    def tokenizer_metadata(self) -> Metadata:
        """Returns hyperparameters that llama.cpp keeps with the tokenizer, with their whole keys."""
        return {}

    def rope_encoding(self) -> RopeEncoding:
        """Returns the rotary embedding in llama.cpp's terms."""
        return self.rope.encoded(factor_tensors=self.factor_tensors)

    def added_tensors(self) -> dict[str, Float32Array]:
        """Returns tensors that llama.cpp's architecture needs and the checkpoint does not have, by GGUF name."""
        return {}

    def layer_rules(self) -> Sequence[tuple[Rule, ...]]:
        """Returns the rules of one layer, names without the layer's prefix."""
        raise NotImplementedError

    def norm_rules(self) -> tuple[Rule, ...]:
        """Returns the rules of the norm before the output matrix."""
        return (Rule("model.norm.weight", "output_norm.weight", ("hidden",)),)

    def output_rules(self) -> tuple[Rule, ...]:
        """Returns the rules of the output matrix."""
        if not self.tied:
            return (Rule("lm_head.weight", "output.weight", ("vocab", "hidden")),)
        if self.output_required:
            return (Rule("model.embed_tokens.weight", "output.weight", ("vocab", "hidden")),)
        return ()

    def rules(self) -> tuple[Rule, ...]:
        """Returns all rules in the order in which their tensors are written."""
        return (
            Rule("model.embed_tokens.weight", "token_embd.weight", ("vocab", "hidden")),
            *in_layer(*self.layer_rules(), prefix=self.layer_prefix),
            *self.norm_rules(),
            *self.output_rules(),
        )

    def source_name(self, name: str) -> str | None:
        """Returns the name that rules use for a checkpoint tensor, None for one outside the text model.

        A checkpoint of the model without its output matrix, as transformers saves its base models, lacks the prefix.
        """
        if name.startswith(_BASE_PARTS):
            name = f"model.{name}"
        return None if self.tied and name == _HEAD else name

    def settle_output(self, sources: Mapping[str, TensorSource]) -> None:
        """Unties embedding and output where the checkpoint has two that differ, as transformers (5) does.

        Args:
            sources: The checkpoint's tensors by name.

        Raises:
            ConversionError: llama.cpp reads no output matrix for the architecture.
        """
        if not self.tied or self.is_encoder:
            return
        self.tied = False  # So that the output matrix has a name.
        named = {self.source_name(name): source for name, source in sources.items()}
        head, embedding = named.get(_HEAD), named.get(_EMBEDDING)
        self.tied = head is None or embedding is None or are_equal(head, embedding)
        if not self.tied and not self.output_allowed:
            raise ConversionError(
                f"tensor {_HEAD!r} must equal {_EMBEDDING!r} for {self.name!r} in llama.cpp, which reads no other"
            )
