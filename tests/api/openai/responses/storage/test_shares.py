"""Whose responses make room."""

import pytest

from llm_inference_api.api.openai.responses.storage.shares import surplus


@pytest.mark.parametrize(
    ("sizes", "limit", "expected"),
    [
        ({}, 10, {}),
        ({"a": 4, "b": 6}, 10, {}),
        ({"a": 4, "b": 7}, 10, {"b": 1}),
        ({"a": 1, "b": 10, "c": 8}, 11, {"b": 5, "c": 3}),
        ({"a": 5, "b": 5}, 6, {"a": 2, "b": 2}),
        ({"a": 5}, 0, {"a": 5}),
    ],
)
def test_callers_with_most_give_up_what_is_above_the_others(
    sizes: dict[str, int], limit: int, expected: dict[str, float]
) -> None:
    assert surplus(sizes, limit) == expected
