from collections.abc import Callable
from pathlib import Path

import pytest

from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint


def ignore_progress(done: int, total: int) -> None:
    """A progress callback for tests of something else."""


@pytest.fixture
def converted(tmp_path: Path) -> Callable[..., Path]:
    """Converts a checkpoint to a file in the test's directory."""

    def convert(checkpoint: Path, dtype: Dtype | None = None) -> Path:
        output = tmp_path / f"{checkpoint.name}-{dtype}.gguf"
        convert_checkpoint(checkpoint, output, dtype=dtype, progress=ignore_progress)
        return output

    return convert


@pytest.fixture
def tiny_llama(tmp_path: Path) -> Path:
    """A Llama of one layer, which the test may modify."""
    return write_checkpoint(tmp_path / "tiny", TINY_LLAMA, TINY_LLAMA_SHAPES, "llama2")
