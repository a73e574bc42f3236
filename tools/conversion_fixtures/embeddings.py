"""Records the vectors that sentence-transformers computes with tiny encoders of seeded weights."""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from safetensors import safe_open
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.models.convert.seeded_checkpoint import seeded_weights
from tools.conversion_fixtures.corpus import plain_lines, training_lines
from tools.conversion_fixtures.tokens import packed

MAX_LENGTH = 200
"""Tokens of a text; the models have more positions."""
_VOCABULARY = 600
_BERT: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
_ROBERTA = _BERT | {"max_position_embeddings": 258, "pad_token_id": 1, "type_vocab_size": 1}
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
_ROBERTA_NAMES = {
    **dict.fromkeys(("bos_token", "cls_token"), "<s>"),
    **dict.fromkeys(("eos_token", "sep_token"), "</s>"),
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}


def _word_piece(*, lowercase: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=_VOCABULARY - 20, special_tokens=_SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(training_lines(12), trainer)
    return _around(tokenizer, "[CLS]", "[SEP]")


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("  ", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=_VOCABULARY - 20, special_tokens=_ROBERTA_SPECIAL, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(training_lines(12), trainer)
    return _around(tokenizer, "<s>", "</s>")


def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY - 20,
        special_tokens=_ROBERTA_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_lines(), trainer)
    ids = {text: tokenizer.token_to_id(text) for text in ("<s>", "</s>")}
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids["</s>"]), ("<s>", ids["<s>"]), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def _around(tokenizer: Tokenizer, before: str, after: str) -> Tokenizer:
    special = [(text, tokenizer.token_to_id(text)) for text in (before, after)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{before} $A {after}", special_tokens=special)
    return tokenizer


@dataclass(frozen=True)
class Case:
    """One checkpoint."""

    family: str
    """The family's name for people."""
    features: str
    """What the case covers, for people."""
    model: Callable[[], Any]
    """Returns a model of transformers."""
    tokenizer: Callable[[], Tokenizer]
    pooling: dict[str, Any]
    """1_Pooling/config.json without the width."""
    tokenizer_config: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    """sentence_bert_config.json without the length."""
    normalized: bool = True
    """Whether modules.json ends with Normalize."""
    as_vocabulary: bool = False
    """Whether the tokenizer is written as vocab.txt rather than tokenizer.json."""


CASES = {
    "bert": Case(
        "BERT",
        "mean, tokenizer.json that pads and truncates",
        lambda: tf.BertModel(tf.BertConfig(**_BERT)),
        lambda: _word_piece(lowercase=True),
        {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": True},
    ),
    "bert_head": Case(
        "BERT",
        "first token, GELU by tanh, language model’s head, vocab.txt",
        lambda: tf.BertForMaskedLM(tf.BertConfig(**_BERT, hidden_act="gelu_new")),
        lambda: _word_piece(lowercase=False),
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
        normalized=False,
        as_vocabulary=True,
    ),
    "bert_unigram": Case(
        "BERT",
        "mean by the root of the length, Unigram",
        lambda: tf.BertModel(tf.BertConfig(**_BERT)),
        _unigram,
        {"pooling_mode_mean_tokens": False, "pooling_mode_mean_sqrt_len_tokens": True},
        {"tokenizer_class": "PreTrainedTokenizerFast"} | _ROBERTA_NAMES,
        normalized=False,
    ),
    "roberta": Case(
        "RoBERTa",
        "last token, byte-level BPE",
        lambda: tf.RobertaModel(tf.RobertaConfig(**_ROBERTA)),
        _byte_level,
        {"pooling_mode_mean_tokens": False, "pooling_mode_lasttoken": True},
        {"tokenizer_class": "PreTrainedTokenizerFast"} | _ROBERTA_NAMES,
    ),
    "xlm_roberta": Case(
        "XLM-RoBERTa",
        "first token, Unigram, language model’s head",
        lambda: tf.XLMRobertaForMaskedLM(tf.XLMRobertaConfig(**_ROBERTA)),
        _unigram,
        {"pooling_mode": "cls", "include_prompt": True},
        {"tokenizer_class": "PreTrainedTokenizerFast"} | _ROBERTA_NAMES,
    ),
    "distilbert": Case(
        "DistilBERT",
        "mean, lower case by sentence-transformers",
        lambda: tf.DistilBertModel(
            tf.DistilBertConfig(
                vocab_size=_VOCABULARY, dim=48, hidden_dim=80, n_layers=2, n_heads=4, max_position_embeddings=256
            )
        ),
        lambda: _word_piece(lowercase=False),
        {"pooling_mode": "mean"},
        {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]", "pad_token": "[PAD]"},
        {"do_lower_case": True},
    ),
}


def generate(root: Path, earlier: Path | None = None) -> None:
    """Writes a directory for each case, with the `files` of an earlier generation where one is given.

    Without one the tokenizers are trained again, and others every time: the trainers choose at random between equals.

    case.json holds config.json and the tensors' shapes; `files` the other files of the checkpoint; reference.npz the
    ids of every tenth line of the corpus (as `tokens.packed` returns them), the `texts` of those lines whose vectors
    are recorded (indices), and their unit `vectors` (float16).
    """
    for name, case in CASES.items():
        shutil.rmtree(root / name, ignore_errors=True)
        with tempfile.TemporaryDirectory() as directory:
            if earlier is None:
                _write_files(root / name / "files", case)
            else:
                shutil.copytree(earlier / name / "files", root / name / "files")
            _generate_one(root / name, case, Path(directory))
        print(name, flush=True)


def _generate_one(target: Path, case: Case, work: Path) -> None:
    torch.manual_seed(0)
    case.model().save_pretrained(work)
    with safe_open(work / "model.safetensors", "np") as file:
        shapes = {key: list(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - it cannot be iterated
    save_file(seeded_weights(shapes), work / "model.safetensors", {"format": "pt"})
    shutil.copytree(target / "files", work, dirs_exist_ok=True)
    model = SentenceTransformer(str(work), device="cpu")
    lines = plain_lines()[::10]
    ids = [model.tokenizer(line, truncation=False)["input_ids"] for line in lines]
    texts = [index for index, line in enumerate(lines) if len(ids[index]) <= MAX_LENGTH and line.strip()][::5]
    vectors = model.encode([lines[index] for index in texts], batch_size=1, normalize_embeddings=True)
    config = json.loads((work / "config.json").read_text())
    record = {"family": case.family, "features": case.features, "config": config, "shapes": shapes}
    (target / "case.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    np.savez_compressed(
        target / "reference.npz",
        texts=np.array(texts, np.uint16),
        vectors=vectors.astype(np.float16),
        **packed(ids),
    )


def _write_files(directory: Path, case: Case) -> None:
    kinds = ["Transformer", "Pooling", "Normalize"][: 3 if case.normalized else 2]
    modules = [
        {
            "idx": index,
            "name": str(index),
            "path": f"{index}_{kind}" if index else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]
    written = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 48} | case.pooling,
        "sentence_bert_config.json": {"max_seq_length": MAX_LENGTH, "do_lower_case": False} | case.settings,
        "tokenizer_config.json": case.tokenizer_config,
    }
    for name, content in written.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(json.dumps(content, indent=1) + "\n")
    tokenizer = case.tokenizer()
    if case.as_vocabulary:
        ids = tokenizer.get_vocab()
        (directory / "vocab.txt").write_text("".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__)))
        return
    if case.family == "BERT":
        tokenizer.enable_truncation(16)
        tokenizer.enable_padding(length=16)
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
