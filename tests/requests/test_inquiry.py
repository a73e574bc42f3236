import sys

import numpy as np
import pytest

from llm_inference_api.requests.inquiry import VECTOR_TYPE, Embedding

NUMBERS = [0.0, -0.5, 1.0, 3.4028235e38, 1e-45]


def test_numbers_are_those_of_the_vector() -> None:
    """Every F32 comes back as it was written."""
    assert list(Embedding(np.array(NUMBERS, VECTOR_TYPE).tobytes(), 1).numbers) == np.float32(NUMBERS).tolist()


def test_lowest_byte_comes_first_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the highest byte first turns the bytes of each number round."""
    turned = np.array(NUMBERS, VECTOR_TYPE).byteswap().tobytes()
    monkeypatch.setattr(sys, "byteorder", "big" if sys.byteorder == "little" else "little")
    assert list(Embedding(turned, 1).numbers) == np.float32(NUMBERS).tolist()
