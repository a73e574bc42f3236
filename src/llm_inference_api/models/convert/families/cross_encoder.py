"""Cross-encoders: BERT, RoBERTa and XLM-RoBERTa with a head that scores a pair or classifies a text."""

from typing import ClassVar

from gguf import PoolingType

from llm_inference_api.models.convert.families.bert import Bert, Roberta
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.tensors.rule import Rule, linear

_POOLER = r"pooler\..*"


class _CrossEncoder(Bert):
    """What both have in common: a layer with tanh, then one with a single output (llm_graph_context::build_pooling)."""

    hidden_layer: ClassVar[str]
    """Name of the head's first layer."""
    output_layer: ClassVar[str]

    def check(self) -> None:
        """Raises as Bert's does, and for a head whose outputs are no choice of one label."""
        super().check()
        kind = self.config.values.get("problem_type")
        if len(self.labels) > 1 and kind not in (None, "single_label_classification"):
            raise self.config.error("problem_type", "single_label_classification", kind)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the outputs, in their order: a ranker has one, a classifier several."""
        labels = self.config.values.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # transformers' default.
        return tuple(str(labels[key]) for key in sorted(labels, key=int))

    @property
    def sizes(self) -> dict[str, int]:
        """Bert's dimensions with the number of outputs."""
        return super().sizes | {"outputs": len(self.labels)}

    def metadata(self) -> Metadata:
        """Returns Bert's metadata with the pooling of rankers, and the labels of a classifier."""
        labels = {"classifier.output_labels": list(self.labels)} if len(self.labels) > 1 else {}
        return super().metadata() | {"pooling_type": int(PoolingType.RANK)} | labels

    def rules(self) -> tuple[Rule, ...]:
        """Returns Bert's rules with those of the head."""
        return (
            *super().rules(),
            *linear(self.hidden_layer, "cls", ("hidden", "hidden"), bias=True),
            *linear(self.output_layer, "cls.output", ("outputs", "hidden"), bias=True),
        )


class BertRanker(_CrossEncoder):
    """BERT, whose pooler is the head's first layer."""

    architectures: ClassVar[tuple[str, ...]] = ("BertForSequenceClassification",)
    model_types: ClassVar[tuple[str, ...]] = ()
    ignored: ClassVar[tuple[str, ...]] = tuple(pattern for pattern in Bert.ignored if pattern != _POOLER)
    hidden_layer = "pooler.dense"
    output_layer = "classifier"


class RobertaRanker(_CrossEncoder, Roberta):
    """RoBERTa and XLM-RoBERTa."""

    architectures: ClassVar[tuple[str, ...]] = (
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
        "CamembertForSequenceClassification",
    )
    model_types: ClassVar[tuple[str, ...]] = ()
    hidden_layer = "classifier.dense"
    output_layer = "classifier.out_proj"
