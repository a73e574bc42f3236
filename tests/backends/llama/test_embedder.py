"""Embeddings of both kinds of models, against llama-cpp-python's own and against NumPy."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader, PoolingType
from tokenizers import Tokenizer, models

from llm_inference_api.backends.llama import embedding_context
from llm_inference_api.engine.embedder import AbandonedError, Cuts, Embedder, Errands
from llm_inference_api.errors import ComputationError, InvalidFieldError
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.requests.inquiry import VECTOR_TYPE, Embed, Input, Tokenize
from llm_inference_api.worker.parts import Parts, build
from tests.fakes.gguf import write_tiny_encoder, write_tiny_model
from tests.fakes.llama import load_oracle

TEXTS = ("the cat sat on the mat", "a dog ran", "the cat sat on the mat")
KINDS = {"mean": PoolingType.MEAN, "cls": PoolingType.CLS, "last": PoolingType.LAST, "unsaid": None}

CLOSE = 5e-4
"""Between two of llama.cpp's ways through the same attention, in F16 where it is fused. Other texts are 0.1 away."""


def parts(path: Path, context: ContextChoice | None = None) -> Parts:
    config = EngineConfig(path, 1, 2, 10, 30.0, context=context or ContextChoice())
    return build(config, lambda fraction: None)


def embedder_of(path: Path) -> Embedder:
    embedder = parts(path).embedder
    assert embedder is not None
    return embedder


def vectors(embedder: Embedder, *texts: str | tuple[int, ...]) -> np.ndarray:
    question = Embed(tuple(Input(f"texts[{index}]", text) for index, text in enumerate(texts)))
    return np.stack([np.frombuffer(item.vector, VECTOR_TYPE) for item in embedder.answer(question, lambda: None)])


def oracle(path: Path, pooling: int, texts: tuple[str, ...]) -> np.ndarray:
    model = load_oracle(path, embedding=True, pooling_type=pooling, n_ctx=0, n_batch=2048, n_ubatch=2048)
    found: Any = [model.embed(text, normalize=True) for text in texts]
    model.close()
    return np.array(found)


@pytest.fixture(scope="module", params=["decoder", "encoder"])
def write(request: pytest.FixtureRequest) -> Callable[..., Path]:
    return write_tiny_model if request.param == "decoder" else write_tiny_encoder


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_llama_cpps_own(tmp_path: Path, write: Callable[..., Path], kind: str) -> None:
    """Each way of pooling gives what llama-cpp-python computes with it; without one it is the mean."""
    path = write(tmp_path / "model.gguf", pooling=KINDS[kind])
    expected = oracle(path, KINDS[kind] or PoolingType.MEAN, TEXTS)
    assert np.allclose(vectors(embedder_of(path), *TEXTS), expected, atol=CLOSE)


def test_model_without_layers_embeds_as_by_hand(tmp_path: Path) -> None:
    """Without a layer, a token's vector is its row of the table, brought to an RMS of one; the rest is a mean."""
    path = write_tiny_model(tmp_path / "flat.gguf", layers=1)
    reader = GGUFReader(path)
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    del reader
    flat = write_tiny_model(tmp_path / "flat.gguf", layers=1, silent=True)
    table = tensors["token_embd.weight"][list(b"hello")].astype(np.float64)
    rows = table / np.sqrt((table**2).mean(axis=1, keepdims=True) + 1e-5)
    mean = rows.mean(axis=0)
    assert np.allclose(vectors(embedder_of(flat), "hello")[0], mean / np.linalg.norm(mean), atol=1e-5)


def test_dimensions_are_the_first_ones_brought_to_length_one(tmp_path: Path, write: Callable[..., Path]) -> None:
    """For models trained so; more than the model has are refused."""
    embedder = replace(embedder_of(write(tmp_path / "model.gguf")), cuts=Cuts(any=True))
    question = Embed((Input("input", TEXTS[0]),), dimensions=8)
    (found,) = embedder.answer(question, lambda: None)
    whole = vectors(embedder, TEXTS[0])[0][:8]
    assert np.allclose(np.frombuffer(found.vector, VECTOR_TYPE), whole / np.linalg.norm(whole), atol=CLOSE)
    with pytest.raises(InvalidFieldError, match=r"^dimensions: must be 1 to \d+ for this model, not 1000"):
        embedder.answer(question._replace(dimensions=1000), lambda: None)


@pytest.mark.parametrize(
    ("cuts", "allowed", "says"),
    [(Cuts(), {32}, "must be 32: this model is not known"), (Cuts(lengths=(8, 16)), {8, 16, 32}, "one of 8, 16")],
)
def test_vectors_are_cut_only_as_the_model_was_trained(
    tmp_path: Path, cuts: Cuts, allowed: set[int], says: str
) -> None:
    """All components are no cut."""
    embedder = replace(embedder_of(write_tiny_encoder(tmp_path / "model.gguf")), cuts=cuts)
    question = Embed((Input("input", TEXTS[0]),))
    for dimensions in {4, 8, 16, 32} & allowed:
        (found,) = embedder.answer(question._replace(dimensions=dimensions), lambda: None)
        assert len(found.numbers) == dimensions
    for dimensions in {4, 8, 16, 32} - allowed:
        with pytest.raises(InvalidFieldError, match=says):
            embedder.answer(question._replace(dimensions=dimensions), lambda: None)


def test_equal_texts_point_the_same_way(tmp_path: Path, write: Callable[..., Path]) -> None:
    """The cosine of equal texts is one, of others it is less; all vectors have length one."""
    found = vectors(embedder_of(write(tmp_path / "model.gguf")), *TEXTS)
    cosines = found @ found.T
    assert cosines[0, 2] == pytest.approx(1.0, abs=1e-6)
    assert cosines[0, 1] < 0.999
    assert np.allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)


def test_batch_is_its_singles(tmp_path: Path, write: Callable[..., Path]) -> None:
    """A text's vector does not depend on the texts around it."""
    embedder = embedder_of(write(tmp_path / "model.gguf"))
    assert np.array_equal(vectors(embedder, *TEXTS), np.concatenate([vectors(embedder, text) for text in TEXTS]))


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_of_a_long_text_are_one_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A decoder's text that takes several forwards has the vector that one would give."""
    path = write_tiny_model(tmp_path / "model.gguf", pooling=KINDS[kind])
    text = "0123456789" * 50
    whole = oracle(path, KINDS[kind] or PoolingType.MEAN, (text,))
    assert len(text) > embedding_context.CHUNK
    assert np.allclose(vectors(embedder_of(path), text), whole, atol=CLOSE)


def test_token_ids_are_taken_as_they_are(tiny_model: Path) -> None:
    """A text's tokens have the text's vector."""
    embedder = embedder_of(tiny_model)
    assert np.array_equal(vectors(embedder, "hello"), vectors(embedder, tuple(embedder.tokenize("hello"))))


def test_context_is_filled_to_the_last_token(tmp_path: Path, write: Callable[..., Path]) -> None:
    """As many tokens as the context holds are computed; one more is refused with both numbers."""
    embedder = embedder_of(write(tmp_path / "model.gguf"))
    most = embedder.context_length
    vectors(embedder, (5,) * most)
    with pytest.raises(InvalidFieldError, match=rf"texts\[1\]: has {most + 1} tokens.* is {most} tokens"):
        vectors(embedder, "a", (5,) * (most + 1))


def test_text_that_surely_is_too_long_is_not_tokenised(tiny_model: Path) -> None:
    """Both numbers are said, the first as a lower bound."""
    with pytest.raises(InvalidFieldError, match=r"at least \d+ tokens.* is 2048 tokens"):
        vectors(embedder_of(tiny_model), "x" * 100_000)


def test_long_words_are_one_token_for_an_encoder(tmp_path: Path) -> None:
    """What the vocabulary does not know is one token, however many bytes it has."""
    vectors(embedder_of(write_tiny_encoder(tmp_path / "model.gguf")), "x" * 5000 + " " * 5000 + "cat")


def test_long_words_are_counted_for_an_encoder(tmp_path: Path) -> None:
    """An inquiry's text is no longer for their bytes either."""
    inspector = parts(write_tiny_encoder(tmp_path / "model.gguf")).inspector
    assert len(inspector.answer(Tokenize("x" * 5000, add_special=True, parse_special=False))) == 3


def test_tokenizer_of_another_repository_is_an_encoders_too(tmp_path: Path) -> None:
    """What a reference names after @ is not left out."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 1, "cat": 5}, unk_token="[UNK]"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    path = write_tiny_encoder(tmp_path / "model.gguf")
    built = build(EngineConfig(path, 1, 2, 10, 30.0, tokenizer=tmp_path), lambda fraction: None)
    assert built.embedder is not None
    assert built.embedder.tokenize("cat") == [5]


@pytest.mark.parametrize("token", [-1, 100_000])
def test_token_outside_the_vocabulary_is_refused(tiny_model: Path, token: int) -> None:
    """It would be read beyond llama.cpp's table."""
    with pytest.raises(InvalidFieldError, match="vocabulary of 261"):
        vectors(embedder_of(tiny_model), (token,))


def test_numbers_that_are_none_are_an_error(model_directory: Path) -> None:
    """Weights that are no numbers do not become quiet nonsense."""
    with pytest.raises(ComputationError, match="zero or not finite"):
        vectors(embedder_of(model_directory / "nan.gguf"), "hello")


def test_encoder_generates_nothing_and_says_so(tmp_path: Path) -> None:
    """It has no engine; its facts tell the server."""
    built = parts(write_tiny_encoder(tmp_path / "model.gguf"))
    assert built.engine is None
    assert not built.info.generates
    assert (built.info.embedding_length, built.info.context_length) == (32, 64)


def test_ranking_models_embed_nothing(tmp_path: Path) -> None:
    """A decoder that ranks still generates; an encoder that ranks does nothing else."""
    decoder = parts(write_tiny_model(tmp_path / "decoder.gguf", pooling=PoolingType.RANK))
    assert (decoder.embedder, decoder.info.embedding_length, decoder.info.generates) == (None, 0, True)
    encoder = parts(write_tiny_encoder(tmp_path / "encoder.gguf", pooling=PoolingType.RANK))
    assert (encoder.embedder, encoder.info.embedding_length, encoder.info.generates) == (None, 0, False)


def test_long_forward_of_an_encoder_is_checked_within(tmp_path: Path) -> None:
    """One forward may take minutes: it says meanwhile that it goes on, but is not left in the middle."""
    embedder = embedder_of(write_tiny_encoder(tmp_path / "model.gguf", context_length=512))
    short, long = (Embed((Input("texts[0]", (6,) * count),)) for count in (embedding_context.CHUNK, 400))
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1

    def check_within() -> None:
        check()
        if checks > 5:
            raise AbandonedError

    embedder.answer(short, check)
    assert checks == 2
    expected = embedder.answer(long, lambda: None)
    assert embedder.answer(long, check_within) == expected
    assert checks > 10
    checks = 0
    embedder.answer(short, check)
    assert checks == 2


def test_errands_in_the_background_come_after_all_others() -> None:
    """Whoever came first."""
    errands = Errands()
    errands.put(1, Embed((Input("input", "a"),), is_background=True))
    errands.put(2, Embed((Input("input", "b"),)))
    errands.put(3, Embed((Input("input", "c"),), is_background=True))
    assert [errands.get()[0] for _ in range(3)] == [2, 1, 3]


def test_abandoned_errand_ends_at_the_next_chunk(tiny_model: Path) -> None:
    """Nobody waits, so the rest of a text is not computed."""
    errands, embedder = Errands(), embedder_of(tiny_model)
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks == 3:
            errands.forget(1)
        errands.check(1)

    errands.put(1, Embed((Input("texts[0]", "x" * 2000),)))
    with pytest.raises(AbandonedError):
        embedder.answer(errands.get()[1], check)
    assert checks == 3
