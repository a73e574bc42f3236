"""BERT, RoBERTa with XLM-RoBERTa, and DistilBERT: encoders that compute embeddings."""

from typing import ClassVar

from gguf import PoolingType

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata, Rope, RopeEncoding
from llm_inference_api.models.convert.tensors.rule import Rule, in_layer, layer_norm, linear, row_range

_OLDER_NAMES = {"gamma": "weight", "beta": "bias"}
"""The parameters of norms by their names in checkpoints that come from TensorFlow."""


class Bert(Family):
    """BERT without its heads, which add nothing to an embedding."""

    architectures: ClassVar[tuple[str, ...]] = ("BertModel", "BertForMaskedLM", "BertForPreTraining")
    model_types: ClassVar[tuple[str, ...]] = ("bert",)
    name = "bert"
    # The exact GELU, and its approximation by tanh, which llama.cpp computes: docs/conversion.md has the distance.
    activations = ("gelu", "gelu_new", "gelu_pytorch_tanh")
    rms = False
    is_encoder = True
    layer_prefix = "encoder.layer."
    ignored: ClassVar[tuple[str, ...]] = (
        r"embeddings\.position_ids",
        r"embeddings\.token_type_ids",
        r"pooler\..*",
        r"cls\..*",
    )
    model_prefix: ClassVar[str] = "bert."
    """What precedes the names of the model's tensors in checkpoints with a head."""
    default_epsilon: ClassVar[float] = 1e-12
    """The epsilon of norms where config.json has none."""
    default_types: ClassVar[int] = 2
    """The number of token types where config.json has none."""

    @property
    def position_offset(self) -> int:
        """The number of position embeddings before that of a text's first token."""
        return 0

    def read_max_positions(self) -> int:
        """Returns the number of tokens that have a position embedding."""
        return self.config.integer("max_position_embeddings", minimum=self.position_offset + 1) - self.position_offset

    def read_rope(self) -> Rope:
        """Returns what a model without a rotary embedding has: the number of positions."""
        return Rope(self.default_theta, self.head_size, self.max_positions, "default", self.config)

    def rope_encoding(self) -> RopeEncoding:
        """Returns nothing: positions have learned embeddings."""
        return RopeEncoding()

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("layer_norm_eps", self.default_epsilon)

    @property
    def token_types(self) -> int:
        """Number of token types; every token of a text is of the first."""
        return self.config.integer("type_vocab_size", self.default_types)

    @property
    def sizes(self) -> dict[str, int]:
        """Family's dimensions with those of the position and type embeddings."""
        return super().sizes | {"positions": self.max_positions + self.position_offset, "types": self.token_types}

    def check(self) -> None:
        """Raises as Family's does, and for options that llama.cpp does not have here."""
        super().check()
        self.config.require("position_embedding_type", ("absolute",), "absolute")
        self.config.require("is_decoder", (False,), False)
        if self.kv_heads != self.heads:
            raise ConversionError(f"{self.config.origin}: num_key_value_heads must be {self.heads} for {self.name!r}")

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

    def type_rules(self) -> tuple[Rule, ...]:
        """Returns the rule of the embeddings of token types."""
        source = "embeddings.token_type_embeddings.weight"
        return (Rule(source, "token_types.weight", ("types", "hidden"), float32=True),)

    def rules(self) -> tuple[Rule, ...]:
        """Returns all rules. Of the position embeddings, those up to the context length are kept."""
        positions = row_range(self.position_offset, self.context_length)
        source, shape = "embeddings.position_embeddings.weight", ("positions", "hidden")
        return (
            Rule("embeddings.word_embeddings.weight", "token_embd.weight", ("vocab", "hidden")),
            Rule(source, "position_embd.weight", shape, rows=positions, float32=True),
            *self.type_rules(),
            *layer_norm("embeddings.LayerNorm", "token_embd_norm"),
            *in_layer(*self.layer_rules(), prefix=self.layer_prefix),
        )

    def source_name(self, name: str) -> str | None:
        """Returns the name that rules use: that of a model without head, with the current names of norms."""
        parent, dot, parameter = name.removeprefix(self.model_prefix).rpartition(".")
        return parent + dot + _OLDER_NAMES.get(parameter, parameter)


class Roberta(Bert):
    """RoBERTa and XLM-RoBERTa: BERT whose positions are counted from the padding token's id on."""

    architectures: ClassVar[tuple[str, ...]] = (
        "RobertaModel",
        "RobertaForMaskedLM",
        "XLMRobertaModel",
        "XLMRobertaForMaskedLM",
        "CamembertModel",
        "CamembertForMaskedLM",
    )
    model_types: ClassVar[tuple[str, ...]] = ("roberta", "xlm-roberta")
    ignored = (*Bert.ignored, r"lm_head\..*")
    model_prefix = "roberta."

    @property
    def position_offset(self) -> int:
        """The number of position embeddings before that of a text's first token."""
        return self.config.integer("pad_token_id", 1, minimum=0) + 1


class DistilBert(Bert):
    """DistilBERT: BERT without token types, with names of its own."""

    architectures: ClassVar[tuple[str, ...]] = ("DistilBertModel", "DistilBertForMaskedLM")
    model_types: ClassVar[tuple[str, ...]] = ("distilbert",)
    layer_prefix = "transformer.layer."
    ignored = (*Bert.ignored, r"vocab_(transform|layer_norm|projector)\..*")
    model_prefix = "distilbert."
    default_types = 1

    def __init__(self, config: Config) -> None:
        values = {_DISTILBERT_NAMES.get(name, name): value for name, value in config.values.items()}
        super().__init__(Config(values, config.origin))

    def type_rules(self) -> tuple[Rule, ...]:
        """Returns nothing: there are no token types."""
        return ()

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            linear("attention.q_lin", "attn_q", ("q", "hidden"), bias=True),
            linear("attention.k_lin", "attn_k", ("kv", "hidden"), bias=True),
            linear("attention.v_lin", "attn_v", ("kv", "hidden"), bias=True),
            linear("attention.out_lin", "attn_output", ("hidden", "q"), bias=True),
            layer_norm("sa_layer_norm", "attn_output_norm"),
            linear("ffn.lin1", "ffn_up", ("ff", "hidden"), bias=True),
            linear("ffn.lin2", "ffn_down", ("hidden", "ff"), bias=True),
            layer_norm("output_layer_norm", "layer_output_norm"),
        )


_DISTILBERT_NAMES = {
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "hidden_dim": "intermediate_size",
    "activation": "hidden_act",
}
"""BERT's name of each hyperparameter that has another one in DistilBERT."""
