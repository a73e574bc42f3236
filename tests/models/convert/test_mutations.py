"""Checkpoints with random faults are converted or refused with a ConversionError, never another error."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llm_inference_api.models.convert.errors import ConversionError
from tests.models.convert.seeded_checkpoint import FIXTURES, write_checkpoint, write_encoder

VALUES = (
    None,
    True,
    -1,
    0,
    1.5,
    1e300,
    -1e-9,
    10**12,
    "x",
    "",
    [],
    {},
    [1],
    [None],
    {"type": "X"},
    {"a": None},
)
TOKENIZER_CONFIG = {
    "bos_token": "<s>",
    "eos_token": {"content": "</s>"},
    "added_tokens_decoder": {"3": {"content": "<x>", "special": True}},
    "chat_template": [{"name": "default", "template": "a"}],
    "add_bos_token": True,
}
KINDS = ("llama2", "qwen2", "gemma", "phi3", "mistral", "neox", "qwen1", "llama2_model_only")
ENCODERS = sorted(path.name for path in (FIXTURES / "embeddings").iterdir())
CASES = sorted(path.name for path in (FIXTURES / "logits").iterdir())


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the path to each value inside a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in list(inside)[:60]:
        yield (*place, key)
        yield from places(part, (*place, key))


def mutate(definition: Any, source: random.Random) -> None:
    found = list(places(definition))
    if not found:
        return
    *way, last = source.choice(found)
    for key in way:
        definition = definition[key]
    if source.random() < 0.3:
        del definition[last]
    else:
        definition[last] = json.loads(json.dumps(source.choice(VALUES)))


def mutate_json(path: Path, source: random.Random) -> None:
    definition = json.loads(path.read_text())
    for _ in range(source.randint(1, 3)):
        mutate(definition, source)
    path.write_text(json.dumps(definition))


def mutate_bytes(path: Path, source: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(source.randint(1, 6)):
        content[source.randrange(min(len(content), 6000))] = source.randrange(256)
    path.write_bytes(content[: source.choice([len(content), source.randrange(len(content))])])


@pytest.mark.parametrize("seed", range(120))
def test_a_fault_in_an_encoder_is_refused_or_harmless(
    seed: int, tmp_path: Path, converted: Callable[..., Path]
) -> None:
    """The files of sentence-transformers, and what the tokenizers library reads, are as hostile."""
    source = random.Random(seed)
    checkpoint = write_encoder(tmp_path / "m", source.choice(ENCODERS))
    spoiled = source.choice(sorted(path for path in checkpoint.rglob("*") if path.is_file()))
    (mutate_json if spoiled.suffix == ".json" else mutate_bytes)(spoiled, source)

    with suppress(ConversionError):
        converted(checkpoint)


@pytest.mark.parametrize("seed", range(240))
def test_a_fault_is_refused_or_harmless(seed: int, tmp_path: Path, converted: Callable[..., Path]) -> None:
    """Conversion ends with a file or with a ConversionError."""
    source = random.Random(seed)
    case = json.loads((FIXTURES / "logits" / source.choice(CASES) / "case.json").read_text())
    checkpoint = write_checkpoint(tmp_path / "m", case["config"], case["shapes"], source.choice(KINDS))
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))
    spoiled = source.choice(sorted(checkpoint.iterdir()))
    (mutate_json if spoiled.suffix == ".json" else mutate_bytes)(spoiled, source)

    with suppress(ConversionError):
        converted(checkpoint)
