from collections.abc import Mapping
from pathlib import Path

import pytest
from gguf import GGUFWriter

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.models.footprint import Footprint, Room, estimate
from llm_inference_api.models.gguf_header import read_tensor_sizes
from llm_inference_api.models.offload import Offload
from llm_inference_api.requests.engine_config import DEFAULT_CONTEXT_LENGTH, ContextChoice
from tests.fakes.adapter import write_tiny_adapter
from tests.fakes.gguf import write_tiny_encoder, write_tiny_model
from tests.fakes.recurrent import ARCHITECTURES, write_recurrent_model
from tests.models.allocated import allocated


def test_cache_is_counted_by_its_cells(tiny_model: Path) -> None:
    """2 layers x 2 heads x (16 + 16) numbers of 2 bytes make 256 bytes a cell; four contexts of 2048 by default."""
    assert estimate([tiny_model], ContextChoice()).cache == 4 * 2048 * 256
    assert estimate([tiny_model], ContextChoice(length=100)).cache == 4 * 100 * 256
    assert estimate([tiny_model], ContextChoice(cache_tokens=5000)).cache == 5000 * 256


CELL = 256
"""Bytes of a cell of the tiny models."""
GIB = 1 << 30


def long_model(directory: Path, trained: int = 1 << 17) -> Path:
    return write_tiny_model(directory / "long.gguf", context_length=trained)


def sizes(footprint: Footprint) -> tuple[int | None, int | None]:
    return footprint.context.length, footprint.context.cache_tokens


def room_for(path: Path, tokens: int, most: int = GIB) -> Room:
    """Returns a share with room for a model's weights, its process and so many cells in all."""
    nothing = estimate([path], ContextChoice(length=16, cache_tokens=16), store=0)
    return Room(nothing.total - 32 * CELL + tokens * CELL, most)


def test_adapters_are_weights_too(tiny_model: Path, tmp_path: Path) -> None:
    """They are in memory as long as the model is, whether a request asks for them or not."""
    adapters = [write_tiny_adapter(tmp_path / f"{name}.gguf", tiny_model) for name in "ab"]
    alone, sizes = estimate([tiny_model], ContextChoice()), [path.stat().st_size for path in adapters]
    both = estimate([tiny_model], ContextChoice(), adapters=adapters)
    assert (both.weights - alone.weights, both.total - alone.total) == (sum(sizes), sum(sizes))


def test_context_is_the_trained_one_where_memory_allows(tmp_path: Path) -> None:
    """The cache holds four contexts, but at most 16,384 tokens, or one context."""
    for trained, cells in ((2048, 8192), (8192, 16384), (1 << 17, 1 << 17)):
        path = long_model(tmp_path, trained)
        assert sizes(estimate([path], ContextChoice(), Room(GIB, GIB))) == (trained, cells)


def test_context_is_shortened_to_the_share_of_the_memory(tmp_path: Path) -> None:
    """Cache and embeddings take one context each; the length is a multiple of 256."""
    path = long_model(tmp_path)
    footprint = estimate([path], ContextChoice(), room_for(path, 2 * 20_000))
    assert sizes(footprint) == (19_968, 19_968)
    assert footprint.total <= room_for(path, 2 * 20_000).share


def test_prefixes_may_take_as_much_as_the_cache(tmp_path: Path) -> None:
    """Or what is left of the share, or what is asked for."""
    path = long_model(tmp_path, 2048)
    context = ContextChoice(2048, 8192)
    without = estimate([path], context, store=0)
    assert without.store == 0
    assert estimate([path], context).store == estimate([path], context, Room(GIB, GIB)).store == without.cache
    assert estimate([path], context, Room(without.total + 1000, GIB)).store == 1000
    assert estimate([path], context, Room(without.total - 1, GIB)).store == 0
    asked = estimate([path], context, Room(0, GIB), 5000)
    assert (asked.store, asked.total) == (5000, without.total + 5000)


def test_context_is_not_shorter_than_4096_for_want_of_a_share(tmp_path: Path) -> None:
    """Then others leave the memory for the model, as long as there is as much in all."""
    path = long_model(tmp_path)
    assert sizes(estimate([path], ContextChoice(), Room(0, GIB))) == (4096, 16_384)
    least = room_for(path, 4096 + 5000).share
    assert sizes(estimate([path], ContextChoice(), Room(0, least))) == (4096, 5000)


def test_length_that_is_asked_for_is_not_shortened(tmp_path: Path) -> None:
    """The cache that it brings is, down to one context; one that is asked for is not either."""
    path = long_model(tmp_path)
    most = room_for(path, 30_000).share
    assert sizes(estimate([path], ContextChoice(10_000), Room(0, most))) == (10_000, 20_000)
    assert sizes(estimate([path], ContextChoice(10_000, 50_000), Room(0, most))) == (10_000, 50_000)
    assert sizes(estimate([path], ContextChoice(40_000), Room(0, most))) == (40_000, 40_000)


def test_cache_that_is_asked_for_leaves_the_rest_to_the_context(tmp_path: Path) -> None:
    """It is counted before the length is chosen."""
    path = long_model(tmp_path)
    footprint = estimate([path], ContextChoice(cache_tokens=30_000), room_for(path, 40_000))
    assert sizes(footprint) == (9984, 30_000)


def test_encoders_length_is_what_its_scores_have_room_for(tmp_path: Path) -> None:
    """They grow with the square of the length."""
    path = write_tiny_encoder(tmp_path / "encoder.gguf", context_length=1 << 14)
    share = estimate([path], ContextChoice(length=8192), None).total
    assert estimate([path], ContextChoice(), Room(share, GIB << 4)).context.length == 8192


def test_weights_are_all_parts_of_the_file(tiny_model: Path) -> None:
    """The parts of a split model count together."""
    size = tiny_model.stat().st_size
    assert estimate([tiny_model, tiny_model], ContextChoice()).weights == 2 * size


def test_embeddings_are_counted(tmp_path: Path, tiny_model: Path) -> None:
    """A decoder's need a cache of one context, an encoder's the scores of all tokens, 4 bytes for each of 4 heads."""
    assert estimate([tiny_model], ContextChoice(length=100)).embeddings == 100 * 256
    encoder = estimate([write_tiny_encoder(tmp_path / "encoder.gguf")], ContextChoice())
    assert (encoder.cache, encoder.embeddings) == (0, 4 * 64**2 * 4)


SIZES = {"block_count": 4, "embedding_length": 64, "context_length": 2048, "attention.head_count": 4}
"""Heads of 16 numbers."""


def header(path: Path, kind: str = "model", **sizes: int | list[int] | list[bool]) -> Path:
    """Writes a file of a header alone; `__` stands for the dot in the names of sizes."""
    writer = GGUFWriter(path, "llama")
    writer.add_type(kind)
    given: Mapping[str, int | list[int] | list[bool]] = {name.replace("__", "."): size for name, size in sizes.items()}
    for name, size in {**SIZES, **given}.items():
        add = writer.add_array if isinstance(size, list) else writer.add_uint32
        add(f"llama.{name}", size)  # type: ignore[operator]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("sizes", "numbers"),
    [
        ({"attention__head_count_kv": [2, 2, 2, 2]}, 4 * 2 * 32),
        ({"attention__head_count_kv": [4, 0, 0, 1]}, 5 * 32),
        ({"attention__head_count_kv": [1, 1]}, 2 * 32),
        ({"attention__head_count": [4, 2, 2, 2]}, 10 * 32),
        ({"attention__head_count": [8, 8, 8, 8], "attention__head_count_kv": 2}, 4 * 2 * 16),
        ({"attention__key_length": 10, "attention__value_length": 20}, 4 * 4 * 30),
        ({"attention__key_length_swa": 100}, 4 * 4 * 116),
        ({"attention__key_length_swa": 100, "attention__sliding_window_pattern": [True, False] * 2}, 8 * 116 + 8 * 32),
        ({"attention__key_length_swa": 1, "attention__sliding_window_pattern": 6}, 4 * 4 * 32),
        (
            {"attention__key_length_mla": 192, "attention__value_length_mla": 128, "attention__key_length": 576},
            16 * 576,
        ),
        ({"attention__shared_kv_layers": 3}, 4 * 32),
        ({"attention__shared_kv_layers": 5}, 0),
    ],
)
def test_cache_has_what_each_layer_keeps(
    tmp_path: Path, sizes: Mapping[str, int | list[int] | list[bool]], numbers: int
) -> None:
    """Numbers of 2 bytes for each token, whether the header has one number for all layers or one for each."""
    file = header(tmp_path / "m.gguf", **sizes)
    assert estimate([file], ContextChoice(cache_tokens=10_000)).cache == numbers * 2 * 10_000


@pytest.mark.parametrize(
    ("kind", "what"), [("adapter", "a LoRA adapter"), ("mmproj", "a projector"), ("imatrix", "an importance matrix")]
)
def test_file_that_is_no_model_says_what_it_is(tmp_path: Path, kind: str, what: str) -> None:
    """Known before anything is loaded."""
    with pytest.raises(ModelFailedError, match=f"m.gguf is {what}.*not a model"):
        estimate([header(tmp_path / "m.gguf", kind)], ContextChoice())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_and_cells_are_those_that_llama_allocates(architecture: str, tmp_path: Path) -> None:
    """By its own log lines, of 100 seats and the one that copies go through."""
    path = write_recurrent_model(tmp_path / "model.gguf", architecture)
    estimated = estimate([path], ContextChoice(2048, 8192), slots=100)
    counted = (estimated.cache / 2**20, estimated.states / 2**20)
    assert counted == pytest.approx(allocated(path, 8192, 100), rel=0.05, abs=0.005)


def test_store_holds_states_of_a_model_with_recurrent_layers(tmp_path: Path) -> None:
    """Of 32 prefixes, beside as many cells as the cache has; embeddings have a sequence of their own."""
    path = write_recurrent_model(tmp_path / "model.gguf", "mamba")
    one = estimate([path], ContextChoice(), slots=0).states
    assert one > 0
    estimated = estimate([path], ContextChoice(), slots=3)
    assert (estimated.cache, estimated.states, estimated.embeddings) == (0, 4 * one, one)
    assert estimated.store == 32 * one
    assert estimated.total == estimate([path], ContextChoice(), slots=0).total + 3 * one


def test_layers_of_a_draft_head_take_nothing(tmp_path: Path) -> None:
    """They stand behind the others, and are not loaded."""
    path = write_recurrent_model(tmp_path / "model.gguf", "qwen35", keys={"nextn_predict_layers": 1})
    without = write_recurrent_model(tmp_path / "without.gguf", "qwen35", keys={"block_count": 3})
    counted, expected = (estimate([one], ContextChoice()) for one in (path, without))
    assert (counted.cache, counted.states) == (expected.cache, expected.states) == (0, expected.states)


def layers_of(path: Path, *numbers: int) -> int:
    """Returns the bytes of the weights of some layers."""
    names = tuple(f"blk.{number}." for number in numbers)
    return sum(size for name, size in read_tensor_sizes(path).items() if name.startswith(names))


def output_of(path: Path) -> int:
    return sum(size for name, size in read_tensor_sizes(path).items() if name.startswith("output"))


def test_all_but_the_input_is_offloaded_by_default(tiny_model: Path) -> None:
    """What stands for the tokens stays, and so does the store of prefixes."""
    context = ContextChoice(length=100)
    here = estimate([tiny_model], context)
    away = estimate([tiny_model], context, offload=Offload(-1, GIB))
    weights = layers_of(tiny_model, 0, 1) + output_of(tiny_model)
    assert away.away == weights + here.cache + here.embeddings
    assert (away.store, away.total) == (here.store, here.total - away.away)


@pytest.mark.parametrize(("layers", "offloaded", "caches"), [(1, (), 0), (2, (1,), 1), (3, (0, 1), 2), (9, (0, 1), 2)])
def test_last_layers_are_offloaded_first(
    tiny_model: Path, layers: int, offloaded: tuple[int, ...], caches: int
) -> None:
    """The output counts as the last one; each layer takes its cache along."""
    away = estimate([tiny_model], ContextChoice(length=100), offload=Offload(layers, GIB))
    weights = layers_of(tiny_model, *offloaded) + output_of(tiny_model) if layers else 0
    assert away.away == weights + (away.cache + away.embeddings) // 2 * caches


def test_states_are_offloaded_with_their_layers(tmp_path: Path) -> None:
    """Those of a hybrid model, of each seat."""
    path = write_recurrent_model(tmp_path / "m.gguf", "qwen3next")
    whole = estimate([path], ContextChoice(), slots=3, offload=Offload(-1, GIB))
    none = estimate([path], ContextChoice(), slots=3, offload=Offload(1, GIB))
    assert whole.states == none.states > 0
    assert none.away == output_of(path)
    assert whole.away > whole.states + whole.cache


def test_context_is_what_servers_have_room_for(tmp_path: Path) -> None:
    """Where it was not asked for, and no less than the least; here the machine would hold more."""
    path = write_tiny_model(tmp_path / "m.gguf", context_length=65_536)
    big, small = (estimate([path], ContextChoice(), Room(GIB, GIB), offload=Offload(-1, free)) for free in (GIB, 1))
    assert big.context.length == 65_536
    assert small.context.length == DEFAULT_CONTEXT_LENGTH


def test_encoder_is_offloaded(tmp_path: Path) -> None:
    """Its weights, but for those of the input."""
    path = write_tiny_encoder(tmp_path / "encoder.gguf")
    assert 0 < estimate([path], ContextChoice(), offload=Offload(-1, GIB)).away < path.stat().st_size
