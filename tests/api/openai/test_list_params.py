import pytest

from llm_inference_api.api.openai import list_params as subject
from llm_inference_api.errors import InvalidFieldError


@pytest.mark.parametrize(("limit", "expected"), [(None, 20), (1, 1), (100, 100)])
def test_page_has_the_length_that_is_asked_for(limit: int | None, expected: int) -> None:
    assert subject.page_length(limit, 20, 100) == expected


@pytest.mark.parametrize("limit", [-1, 0, 101])
def test_page_of_another_length_is_refused(limit: int) -> None:
    with pytest.raises(InvalidFieldError, match=rf"^limit: must be a number from 1 to 100, not {limit}$"):
        subject.page_length(limit, 20, 100)


@pytest.mark.parametrize(("order", "expected"), [(None, True), ("desc", True), ("asc", False)])
def test_lists_begin_with_the_newest_unless_asked_otherwise(order: str | None, expected: object) -> None:
    assert subject.is_newest_first(order) is expected


def test_unknown_order_is_refused() -> None:
    with pytest.raises(InvalidFieldError, match=r"^order: must be 'asc' or 'desc'$"):
        subject.is_newest_first("up")
