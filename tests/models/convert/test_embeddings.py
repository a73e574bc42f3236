"""Vectors of converted encoders compared with those of sentence-transformers, which the fixtures record."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from llm_inference_api.engine.embedder import Embedder
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Dtype
from llm_inference_api.models.gguf_header import read_header
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import VECTOR_TYPE, Embed, Input
from llm_inference_api.worker.parts import build
from tests.models.convert.seeded_checkpoint import (
    FIXTURES,
    TINY_LLAMA,
    TINY_LLAMA_SHAPES,
    write_checkpoint,
    write_encoder,
)
from tools.conversion_fixtures.corpus import plain_lines

Convert = Callable[..., Path]
CASES = sorted(path.name for path in (FIXTURES / "embeddings").iterdir())
LINES = plain_lines()[::10]
MAX_LENGTH = 200


@dataclass
class Reference:
    """A recorded case, as tools/conversion_fixtures/embeddings.py writes it."""

    ids: list[list[int]]
    """Of each of LINES."""
    texts: list[str]
    """Those whose vectors are recorded."""
    vectors: np.ndarray

    @classmethod
    def read(cls, name: str) -> "Reference":
        arrays = np.load(FIXTURES / "embeddings" / name / "reference.npz")
        ids = np.split(arrays["ids"], np.cumsum(arrays["lengths"].astype(int)))[:-1]
        texts = [LINES[index] for index in arrays["texts"]]
        return cls([line.tolist() for line in ids], texts, arrays["vectors"].astype(np.float32))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A BERT with its modules, which the test may modify."""
    return write_encoder(tmp_path / "bert", "bert")


def embedder_of(path: Path) -> Embedder:
    embedder = build(EngineConfig(path, 1, 2, 10, 30.0), lambda fraction: None).embedder
    assert embedder is not None
    return embedder


def vectors(embedder: Embedder, texts: list[str]) -> np.ndarray:
    inputs = tuple(Input(f"texts[{index}]", text) for index, text in enumerate(texts))
    return np.stack([np.frombuffer(item.vector, VECTOR_TYPE) for item in embedder.answer(Embed(inputs), lambda: None)])


def change(checkpoint: Path, file: str, **fields: Any) -> None:
    path = checkpoint / file
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_tensors(checkpoint: Path, changed: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> None:
    save_file(changed(load_file(checkpoint / "model.safetensors")), checkpoint / "model.safetensors")


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16])
@pytest.mark.parametrize("name", CASES)
def test_vectors_agree_with_sentence_transformers(name: str, dtype: Dtype, tmp_path: Path, converted: Convert) -> None:
    """Each kind of encoder, tokenizer and pooling has the recorded vectors."""
    reference = Reference.read(name)

    found = vectors(embedder_of(converted(write_encoder(tmp_path / name, name), dtype)), reference.texts)

    assert len(reference.texts) >= 30
    assert (found * reference.vectors).sum(1).min() >= 0.9998


@pytest.mark.parametrize("name", CASES)
def test_texts_have_the_recorded_ids(name: str, tmp_path: Path, converted: Convert) -> None:
    """Lines of scripts, digits, code, white space and emoji have those of the checkpoint's own tokenizer."""
    embedder = embedder_of(converted(write_encoder(tmp_path / name, name)))

    ids = [list(embedder.tokenize(line)) for line in LINES]

    assert ids == Reference.read(name).ids


def test_special_tokens_in_a_text_stay_text(bert: Path, converted: Convert) -> None:
    """Whoever wrote the text does not choose where it ends."""
    embedder = embedder_of(converted(bert))

    ids = list(embedder.tokenize("a [SEP] b"))

    assert ids.count(ids[-1]) == 1


def test_longer_text_than_sentence_transformers_reads_is_refused(bert: Path, converted: Convert) -> None:
    """It would be truncated there; the error has the limit, which is less than the model's positions."""
    embedder = embedder_of(converted(bert))

    assert len(embedder.tokenize("a " * (MAX_LENGTH - 2))) == MAX_LENGTH
    vectors(embedder, ["a " * (MAX_LENGTH - 2)])
    with pytest.raises(InvalidFieldError, match=rf"{MAX_LENGTH + 1} tokens.* is {MAX_LENGTH} tokens"):
        vectors(embedder, ["a " * (MAX_LENGTH - 1)])


def test_lengths_of_cut_vectors_are_the_checkpoints(bert: Path, converted: Convert) -> None:
    """A checkpoint that was trained for them lists them; others are refused."""
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "matryoshka_dimensions": [8, 24]}))
    embedder = embedder_of(converted(bert))

    assert embedder.cuts.lengths == (8, 24)
    with pytest.raises(InvalidFieldError, match="must be one of 8, 24 for this model, not 9"):
        embedder.answer(Embed((Input("input", "a cat"),), dimensions=9), lambda: None)


def test_checkpoint_without_modules_has_all_positions_and_the_mean(bert: Path, converted: Convert) -> None:
    """As sentence-transformers makes of a plain BERT."""
    (bert / "modules.json").unlink()
    (bert / "sentence_bert_config.json").unlink()

    header = read_header(converted(bert))

    assert (header["bert.context_length"], header["bert.pooling_type"]) == (256, 1)


def test_older_names_of_norms_are_read(bert: Path, converted: Convert) -> None:
    """Checkpoints that come from TensorFlow say gamma and beta, and some prefix all names with the model's."""
    expected = vectors(embedder_of(converted(bert)), ["a cat"])

    def older(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = {name: name.replace("LayerNorm.weight", "LayerNorm.gamma") for name in tensors}
        return {f"bert.{name.replace('LayerNorm.bias', 'LayerNorm.beta')}": tensors[old] for old, name in names.items()}

    change_tensors(bert, older)

    assert np.array_equal(vectors(embedder_of(converted(bert)), ["a cat"]), expected)


def test_buffer_of_integers_is_no_weight(bert: Path, converted: Convert) -> None:
    """Older checkpoints store the numbers of the positions."""
    change_tensors(bert, lambda tensors: tensors | {"embeddings.position_ids": np.arange(256)[None]})

    converted(bert)


@pytest.mark.parametrize(
    ("pooling", "kind"),
    [
        ({"pooling_mode_mean_tokens": True}, 1),
        ({"pooling_mode_cls_token": True}, 2),
        ({"pooling_mode_lasttoken": True}, 3),
        ({"pooling_mode": "lasttoken", "pooling_mode_mean_tokens": True}, 3),
        ({"pooling_mode": ["cls"]}, 2),
        ({}, 1),
    ],
)
def test_pooling_is_the_modules(pooling: dict[str, Any], kind: int, bert: Path, converted: Convert) -> None:
    """By its name of today or by the flags of before; of decoders as of encoders."""
    (bert / "1_Pooling/config.json").write_text(json.dumps({"word_embedding_dimension": 48} | pooling))

    assert read_header(converted(bert))["bert.pooling_type"] == kind


def test_decoder_pools_as_its_modules_say(tmp_path: Path, converted: Convert) -> None:
    """A decoder that was trained for embeddings has modules too."""
    checkpoint = write_checkpoint(tmp_path / "llama", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2")
    modules = [{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    (checkpoint / "1_Pooling").mkdir()
    (checkpoint / "1_Pooling/config.json").write_text('{"pooling_mode_lasttoken": true}')

    assert read_header(converted(checkpoint))["llama.pooling_type"] == 3


def transformer_and(**module: Any) -> str:
    return json.dumps([{"type": "sentence_transformers.models.Transformer", "path": ""}, module])


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("modules.json", "{}", "a list of JSON objects"),
        ("modules.json", "[]", "must be Transformer, Pooling"),
        ("modules.json", transformer_and(type="sentence_transformers.models.Dense", path="1"), "Dense"),
        ("modules.json", transformer_and(type="x.Pooling", path="../1"), "path"),
        ("modules.json", transformer_and(type="x.Pooling"), "path"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "pooling_mode.*max"),
        ("1_Pooling/config.json", '{"pooling_mode": "weightedmean"}', "weightedmean"),
        ("1_Pooling/config.json", '{"pooling_mode": ["cls", "mean"]}', "pooling_mode"),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}', "pooling_mode"),
        ("sentence_bert_config.json", '{"max_seq_length": -1}', "max_seq_length"),
        ("config_sentence_transformers.json", '{"default_prompt_name": "query"}', "default_prompt_name"),
        ("tokenizer.json", '{"model": {"type": "WordLevel"}}', "type"),
        ("tokenizer.json", '{"model": {"type": "WordPiece", "vocab": 1}}', "tokenizer.json"),
    ],
)
def test_what_would_change_the_vectors_is_refused_by_name(
    file: str, content: str, named: str, bert: Path, converted: Convert
) -> None:
    """The error names the file, and the field or module at fault."""
    (bert / file).write_text(content)

    with pytest.raises(ConversionError, match=named):
        converted(bert)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("hidden_act", "relu"),
        ("type_vocab_size", 0),
        ("max_position_embeddings", 0),
    ],
)
def test_option_that_an_encoder_of_llama_cpp_lacks_is_named(
    field: str, value: Any, bert: Path, converted: Convert
) -> None:
    """It would be computed otherwise."""
    change(bert, "config.json", **{field: value})

    with pytest.raises(ConversionError, match=field):
        converted(bert)


def test_encoder_without_a_tokenizer_says_what_it_needs(bert: Path, converted: Convert) -> None:
    """Both files that are read."""
    (bert / "tokenizer.json").unlink()

    with pytest.raises(ConversionError, match=r"tokenizer\.json or vocab\.txt"):
        converted(bert)


def test_vocabulary_without_its_special_tokens_is_refused(tmp_path: Path, converted: Convert) -> None:
    """Every text begins and ends with one."""
    checkpoint = write_encoder(tmp_path / "bert", "bert_head")
    path = checkpoint / "vocab.txt"
    path.write_text(path.read_text().replace("[SEP]\n", "sep-\n"))

    with pytest.raises(ConversionError, match=r"vocab\.txt: .*\[SEP\]"):
        converted(checkpoint)


def test_decoder_does_not_convert_to_lower_case(tmp_path: Path, converted: Convert) -> None:
    """llama.cpp tokenizes for it as the text is."""
    checkpoint = write_checkpoint(tmp_path / "llama", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2")
    shutil.copytree(FIXTURES / "embeddings/distilbert/files/1_Pooling", checkpoint / "1_Pooling")
    for name in ("modules.json", "sentence_bert_config.json"):
        shutil.copy(FIXTURES / "embeddings/distilbert/files" / name, checkpoint)

    with pytest.raises(ConversionError, match="do_lower_case"):
        converted(checkpoint)
