"""Texts classified by a head."""

from collections.abc import Callable, Sequence

import pytest

from llm_inference_api.engine.classifier import Classifier
from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.inquiry import Input


class Halves:
    """A head of two labels."""

    def probabilities(self, tokens: Sequence[int], check: Callable[[], None]) -> tuple[float, ...]:
        check()
        return (0.5, 0.5)


def words(text: str) -> list[int]:
    if len(text) > 50:
        raise ContextLengthError(len(text), 3, False)
    return list(range(len(text.split())))


CLASSIFIER = Classifier(words, Halves(), 3)


def test_answer_has_the_probabilities_and_the_tokens() -> None:
    """Of one text."""
    assert CLASSIFIER.answer(Classify(Input("text", "a b c")), lambda: None) == Classes((0.5, 0.5), 3)


@pytest.mark.parametrize(("text", "count"), [("a b c d", "4"), ("x" * 51, "at least 51")])
def test_text_beyond_the_context_is_refused_by_field(text: str, count: str) -> None:
    """Whether its tokens are counted or it is too long to be counted."""
    with pytest.raises(InvalidFieldError, match=f"has {count} tokens") as caught:
        CLASSIFIER.answer(Classify(Input("state", text)), lambda: None)
    assert caught.value.field == "state"
