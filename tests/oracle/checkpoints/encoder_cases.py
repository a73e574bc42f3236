"""Tiny checkpoints of models that embed or rank: transformers' configuration of each.

Imported by the tests, and by the program that has transformers and not this service.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests.oracle.checkpoints.cases import ATTENTION, COMMON

LENGTHS = (5, 17, 60, 152)
"""Tokens of each text."""
WINDOW = 16
"""Tokens that a layer with a sliding window sees: fewer than the longer texts have."""


class Case(NamedTuple):
    """A model."""

    kind: str
    """Transformers' class of it."""
    config: dict[str, Any]
    pooling: str = ""
    """How an embedding model pools, as sentence-transformers says it; empty: it has a head, and ranks."""
    published: Mapping[str, Any] = MappingProxyType({})
    """What config.json of published checkpoints says otherwise than transformers writes it now."""
    dense: tuple[int, ...] = ()
    """Widths of the modules behind the pooling."""


_COMMON: dict[str, Any] = {**COMMON, "num_attention_heads": 4}
_XLM_ROBERTA: dict[str, Any] = {"model_type": "xlm-roberta", **_COMMON, "type_vocab_size": 1}
_MODERN_BERT: dict[str, Any] = {
    "model_type": "modernbert",
    **_COMMON,
    "local_attention": WINDOW,
    "global_attn_every_n_layers": 3,
    "cls_token_id": 0,
    "sep_token_id": 1,
    # llama.cpp's GELU is the approximation by tanh.
    "hidden_activation": "gelu_pytorch_tanh",
}
_MODERN_BERT_PUBLISHED = {
    "layer_norm_eps": 1e-5,
    "hidden_activation": "gelu",
    "global_attn_every_n_layers": 3,
    "local_attention": WINDOW,
}
_NOMIC_PUBLISHED: dict[str, Any] = {
    "n_embd": 64,
    "n_inner": 96,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 8192,
    "max_trained_positions": 2048,
    "activation_function": "swiglu",
    "causal": False,
    **dict.fromkeys(("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "prenorm", "rotary_emb_interleaved"), False),
    "rotary_emb_fraction": 1.0,
    "rotary_emb_base": 1000,
    "rotary_emb_scale_base": None,
    "layer_norm_epsilon": 1e-12,
}
_QWEN3: dict[str, Any] = {"model_type": "qwen3", **COMMON, **ATTENTION}

CASES: dict[str, Case] = {
    "bert": Case("BertModel", {"model_type": "bert", **_COMMON}, "mean"),
    "xlm_roberta": Case("XLMRobertaModel", _XLM_ROBERTA, "cls"),
    "modernbert": Case("ModernBertModel", _MODERN_BERT, "cls", _MODERN_BERT_PUBLISHED),
    "nomic_bert": Case("NomicBertModel", {"model_type": "nomic_bert", **_COMMON}, "mean", _NOMIC_PUBLISHED),
    "gemma3_text": Case(
        "Gemma3TextModel",
        {
            "model_type": "gemma3_text",
            **COMMON,
            **ATTENTION,
            "num_hidden_layers": 6,
            "layer_types": ["sliding_attention"] * 5 + ["full_attention"],
            "query_pre_attn_scalar": 16,
            "sliding_window": WINDOW,
            "use_bidirectional_attention": True,
        },
        "mean",
        {"sliding_window": WINDOW},
        dense=(96, 64),
    ),
    "qwen3": Case("Qwen3Model", _QWEN3, "lasttoken"),
    "xlm_roberta_ranker": Case("XLMRobertaForSequenceClassification", {**_XLM_ROBERTA, "num_labels": 1}),
    "modernbert_ranker": Case(
        "ModernBertForSequenceClassification",
        {**_MODERN_BERT, "num_labels": 1, "classifier_pooling": "mean"},
        published=_MODERN_BERT_PUBLISHED,
    ),
    "qwen3_reranker": Case("Qwen3ForCausalLM", {**_QWEN3, "tie_word_embeddings": True}),
}
EMBEDDERS = tuple(name for name, case in CASES.items() if case.pooling)
RANKERS = tuple(name for name, case in CASES.items() if not case.pooling)
