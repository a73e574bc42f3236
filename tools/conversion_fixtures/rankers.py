"""Scores of tiny cross-encoders of seeded weights, and probabilities of labels, by transformers."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from safetensors.numpy import save_file
from tokenizers import Tokenizer

from tests.models.convert.seeded_checkpoint import seeded_weights

CASES = {"bert": "BertForSequenceClassification", "xlm_roberta": "XLMRobertaForSequenceClassification"}
"""transformers' class of each ranker, by the encoder of `embeddings` whose configuration and tokenizer it has."""
PAIRS = (
    ("who wrote hamlet", "a play by Shakespeare"),
    ("who wrote hamlet", "It rains in the city today, and the cat sat on the mat."),
    ("Wie spät ist es?", "Es ist fünf Uhr; naïve Cafés öffnen."),
    ("a", "b"),
)
LABELS = ("joy", "anger", "neither of them")
TEXTS = ("who wrote hamlet", "It rains in the city today, and the cat sat on the mat.", "Wie spät ist es?")


def generate(root: Path, encoders: Path) -> None:
    """Writes a file for each case: config.json, the tensors' shapes, and the pairs with their token ids and logits."""
    root.mkdir(exist_ok=True)
    for name, architecture in CASES.items():
        config = json.loads((encoders / name / "case.json").read_text())["config"]
        # The approximation that llama.cpp computes, so that other differences show.
        config |= {"architectures": [architecture], "hidden_act": "gelu_pytorch_tanh"}
        tokenizer = Tokenizer.from_file(str(encoders / name / "files" / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        record = _record(architecture, config | _labelled("LABEL_0"), tokenizer)
        record["classes"] = _classes(architecture, config | _labelled(*LABELS), tokenizer)
        (root / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _labelled(*labels: str) -> dict[str, object]:
    return {
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "label2id": {label: index for index, label in enumerate(labels)},
    }


def _classes(architecture: str, config: dict[str, object], tokenizer: Tokenizer) -> dict[str, object]:
    """Returns the tensors' shapes with an output for each label, and the probabilities of texts."""
    model, shapes = _model(architecture, config)
    texts = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            outputs = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        texts.append({"text": text, "ids": ids[0].tolist(), "probabilities": outputs.double().softmax(0).tolist()})
    return {"labels": list(LABELS), "shapes": shapes, "texts": texts}


def _model(architecture: str, config: dict[str, object]) -> tuple[Any, dict[str, list[int]]]:
    """Returns a model of seeded weights, and the shapes of its tensors."""
    kind = getattr(tf, architecture)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "config.json").write_text(json.dumps(config))
        empty = kind(tf.AutoConfig.from_pretrained(directory))
        shapes = {key: list(value.shape) for key, value in empty.state_dict().items() if not key.endswith("_ids")}
        save_file(seeded_weights(shapes), Path(directory) / "model.safetensors", {"format": "pt"})
        return kind.from_pretrained(directory).eval(), shapes


def _record(architecture: str, config: dict[str, object], tokenizer: Tokenizer) -> dict[str, object]:
    model, shapes = _model(architecture, config)
    pairs = []
    for query, document in PAIRS:
        encoded = tokenizer.encode(query, document)
        ids, types = (torch.tensor([values]) for values in (encoded.ids, encoded.type_ids))
        types = types if model.config.type_vocab_size > 1 else torch.zeros_like(types)
        with torch.no_grad():
            logit = model(input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=types).logits.item()
        pairs.append({"query": query, "document": document, "ids": encoded.ids, "logit": float(np.float32(logit))})
    return {"config": config, "shapes": shapes, "pairs": pairs}
