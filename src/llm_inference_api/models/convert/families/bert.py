"""BERT: encoders that compute embeddings."""

from typing import ClassVar

from gguf import PoolingType

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata, Rope, RopeEncoding
from llm_inference_api.models.convert.tensors.rule import Rule, in_layer, layer_norm, linear, row_range

_OLDER_NAMES = {"gamma": "weight", "beta": "bias"}
"""The parameters of norms by the names in checkpoints that were converted from TensorFlow."""


class Bert(Family):
    """BERT without its heads: what they add is no part of an embedding."""

    architectures: ClassVar[tuple[str, ...]] = ("BertModel", "BertForMaskedLM", "BertForPreTraining")
    name = "bert"
    # The exact GELU and its approximation by tanh; llama.cpp computes the latter. docs/conversion.md has the distance.
    activations = ("gelu", "gelu_new", "gelu_pytorch_tanh")
    rms = False
    is_encoder = True
    layer_prefix = "encoder.layer."
    ignored = (r"embeddings\.position_ids", r"pooler\..*", r"cls\..*")

    def read_rope(self) -> Rope:
        """Returns what a model without a rotary embedding has: the number of positions."""
        return Rope(self.default_theta, self.head_size, self.max_positions, "default", self.config)

    def rope_encoding(self) -> RopeEncoding:
        """Returns nothing: positions have learned embeddings."""
        return RopeEncoding()

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("layer_norm_eps", 1e-12)

    @property
    def token_types(self) -> int:
        """Number of token types; every token of a text is of the first."""
        return self.config.integer("type_vocab_size", 2)

    @property
    def sizes(self) -> dict[str, int]:
        """Family's dimensions with those of the position and type embeddings."""
        return super().sizes | {"positions": self.max_positions, "types": self.token_types}

    def check(self) -> None:
        """Raises as Family's does, and for options that llama.cpp does not have here."""
        super().check()
        self.config.require("position_embedding_type", ("absolute",), "absolute")
        self.config.require("is_decoder", (False,), False)
        self.config.require("add_cross_attention", (False,), False)
        if self.kv_heads != self.heads:
            raise ConversionError(f"{self.config.origin}: num_key_value_heads must be {self.heads} for 'bert'")

    def metadata(self) -> Metadata:
        """Returns Family's metadata with bidirectional attention, and the mean where nothing says how to pool."""
        return {"pooling_type": int(PoolingType.MEAN)} | super().metadata() | {"attention.causal": False}

    def tokenizer_metadata(self) -> Metadata:
        """Returns the number of token types, which llama.cpp keeps with the tokenizer."""
        return {"tokenizer.ggml.token_type_count": self.token_types}

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            linear("attention.self.query", "attn_q", ("q", "hidden"), bias=True),
            linear("attention.self.key", "attn_k", ("kv", "hidden"), bias=True),
            linear("attention.self.value", "attn_v", ("kv", "hidden"), bias=True),
            linear("attention.output.dense", "attn_output", ("hidden", "q"), bias=True),
            layer_norm("attention.output.LayerNorm", "attn_output_norm"),
            linear("intermediate.dense", "ffn_up", ("ff", "hidden"), bias=True),
            linear("output.dense", "ffn_down", ("hidden", "ff"), bias=True),
            layer_norm("output.LayerNorm", "layer_output_norm"),
        )

    def rules(self) -> tuple[Rule, ...]:
        """Returns all rules; position embeddings beyond the context length are left out."""
        embeddings = "embeddings.{}_embeddings.weight"
        positions = row_range(0, self.context_length)
        return (
            Rule(embeddings.format("word"), "token_embd.weight", ("vocab", "hidden")),
            Rule(
                embeddings.format("position"),
                "position_embd.weight",
                ("positions", "hidden"),
                rows=positions,
                float32=True,
            ),
            Rule(embeddings.format("token_type"), "token_types.weight", ("types", "hidden"), float32=True),
            *layer_norm("embeddings.LayerNorm", "token_embd_norm"),
            *in_layer(*self.layer_rules(), prefix=self.layer_prefix),
        )

    def source_name(self, name: str) -> str | None:
        """Returns the name that rules use: that of a BERT without heads, with the current names of norms."""
        parent, _, parameter = name.removeprefix("bert.").rpartition(".")
        return f"{parent}.{_OLDER_NAMES.get(parameter, parameter)}"
