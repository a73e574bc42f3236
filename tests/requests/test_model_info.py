"""Numbers of parameters in a few characters."""

import pytest

from llm_inference_api.requests.model_info import short_count


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (7, "7"),
        (920_000, "920K"),
        (999_400, "999K"),
        (999_600, "1.0M"),
        (3_100_000, "3.1M"),
        (9_960_000, "10M"),
        (134_515_008, "135M"),
        (1_100_048_384, "1.1B"),
        (46_702_792_704, "47B"),
    ],
)
def test_number_is_short(count: int, text: str) -> None:
    """Two or three digits, rounded."""
    assert short_count(count) == text
