"""In-situ quantisation by llama.cpp."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.quantise import QUANTISATION_TYPES, quantise_file
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.conftest import ignore_progress
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint
from tests.models.convert.test_logits import cosines

WIDE = TINY_LLAMA | {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4}
WIDTHS = {16: 256, 24: 512, 600: 600}
WIDE_SHAPES = {name: [WIDTHS[size] for size in shape] for name, shape in TINY_LLAMA_SHAPES.items()}
LEAST_COSINES = {"2": 0.45, "3": 0.75, "4": 0.92, "5": 0.975, "6": 0.99, "8": 0.999}
"""Least mean cosine of logits by bits, for random weights, which quantise worse than trained ones."""
TOKENS = np.random.RandomState(3).randint(3, 580, 48).tolist()


@pytest.fixture
def wide(tmp_path: Path, converted: Callable[..., Path]) -> Path:
    """A model whose rows are multiples of the longest block."""
    return converted(write_checkpoint(tmp_path / "wide", WIDE, WIDE_SHAPES, "llama2"), Dtype.BFLOAT16)


@pytest.mark.parametrize("name", QUANTISATION_TYPES)
def test_every_offered_type_makes_a_model(name: str, wide: Path, tmp_path: Path) -> None:
    """A quantised file loads, is smaller, and computes similar logits."""
    output = tmp_path / "q.gguf"

    quantise_file(wide, output, name.lower(), ignore_progress)

    with opened(wide) as before, opened(output) as after:
        distance = cosines(before.logits(TOKENS), after.logits(TOKENS))
    assert output.stat().st_size < 0.75 * wide.stat().st_size
    assert distance.mean() > LEAST_COSINES[name.removeprefix("IQ").removeprefix("Q")[0]]


@pytest.mark.parametrize("name", ["IQ2_XXS", "IQ1_S", "Q2_K_S", "TQ1_0", "F16", "", "../x"])
def test_other_types_are_refused_with_the_list_of_types(name: str, wide: Path, tmp_path: Path) -> None:
    """Types that need an importance matrix, and strings that are no type, are refused."""
    with pytest.raises(ConversionError, match=r"Q4_K_M"):
        quantise_file(wide, tmp_path / "q.gguf", name, ignore_progress)


def test_progress_names_every_tensor(wide: Path, tmp_path: Path) -> None:
    """Progress rises from zero to the number of tensors."""
    heard: list[tuple[int, int]] = []

    quantise_file(wide, tmp_path / "q.gguf", "Q8_0", lambda done, total: heard.append((done, total)))

    assert heard[0][0] == 0
    assert heard == sorted(heard)
    assert heard[-1] == (len(TINY_LLAMA_SHAPES), len(TINY_LLAMA_SHAPES))


def test_a_quantised_source_is_refused(wide: Path, tmp_path: Path) -> None:
    """The error has llama.cpp's reason."""
    quantise_file(wide, tmp_path / "q8.gguf", "Q8_0", ignore_progress)

    with pytest.raises(ConversionError, match="requantizing"):
        quantise_file(tmp_path / "q8.gguf", tmp_path / "q4.gguf", "Q4_0", ignore_progress)

    assert not (tmp_path / "q4.gguf").exists()


def test_a_source_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """The error names a broken file, and no output remains."""
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(64))

    with pytest.raises(ConversionError, match=r"broken\.gguf"):
        quantise_file(tmp_path / "broken.gguf", tmp_path / "q.gguf", "Q8_0", ignore_progress)

    assert [path.name for path in tmp_path.iterdir()] == ["broken.gguf"]
