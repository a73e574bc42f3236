"""StableLM 1 and 2."""

from typing import ClassVar

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tensors.rule import Rule, layer_norm, linear

_OLDER_NAMES = {"rope_pct": "partial_rotary_factor", "norm_eps": "layer_norm_eps"}
"""transformers' name for each field of checkpoints from before it supported the family."""


class StableLM(Family):
    """StableLM: LayerNorm, partial rotation, and in some sizes parallel attention and norms of heads."""

    architectures: ClassVar[tuple[str, ...]] = ("StableLmForCausalLM", "StableLMEpochForCausalLM")
    model_types: ClassVar[tuple[str, ...]] = ("stablelm", "stablelm_epoch")
    name = "stablelm"
    rms = False
    output_required = True
    rotated_share = 0.25
    partial_rotation = True

    def __init__(self, config: Config) -> None:
        values = {_OLDER_NAMES.get(name, name): value for name, value in config.values.items()}
        super().__init__(Config(values, config.origin))

    @property
    def norm_epsilon(self) -> float:
        """The epsilon of all norms."""
        return self.config.positive("layer_norm_eps", 1e-5)

    @property
    def parallel(self) -> bool:
        """Whether attention and feed-forward network run in parallel."""
        return self.config.flag("use_parallel_residual", default=False)

    def metadata(self) -> Metadata:
        """Returns Family's metadata with the parallel residual."""
        return super().metadata() | {"use_parallel_residual": self.parallel}

    def layer_rules(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of one layer."""
        return (
            layer_norm("input_layernorm", "attn_norm"),
            linear("self_attn.q_proj", "attn_q", ("q", "hidden")),
            linear("self_attn.k_proj", "attn_k", ("kv", "hidden")),
            linear("self_attn.v_proj", "attn_v", ("kv", "hidden")),
            linear("self_attn.o_proj", "attn_output", ("hidden", "q"), bias=False),
            *self.optional_norms(),
            linear("mlp.gate_proj", "ffn_gate", ("ff", "hidden"), bias=False),
            linear("mlp.up_proj", "ffn_up", ("ff", "hidden"), bias=False),
            linear("mlp.down_proj", "ffn_down", ("hidden", "ff"), bias=False),
        )

    def optional_norms(self) -> tuple[tuple[Rule, ...], ...]:
        """Returns the rules of the norm before a sequential feed-forward network, and of norms of heads."""
        feed_forward = () if self.parallel else (layer_norm("post_attention_layernorm", "ffn_norm"),)
        if not self.config.flag("qk_layernorm", default=False):
            return feed_forward
        norms = "self_attn.{}_layernorm.norms.{{item}}.weight"
        return (
            *feed_forward,
            (
                Rule(norms.format("q"), "attn_q_norm.weight", ("head",), stacked="heads", float32=True),
                Rule(norms.format("k"), "attn_k_norm.weight", ("head",), stacked="kv_heads", float32=True),
            ),
        )

    def norm_rules(self) -> tuple[Rule, ...]:
        """Returns the rules of the norm before the output matrix."""
        return layer_norm("model.norm", "output_norm")
