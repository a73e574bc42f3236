"""Ranking documents one after the other."""

from collections.abc import Callable

import pytest

from llm_inference_api.engine.ranker import Ranker
from llm_inference_api.requests.inquiry import Input
from llm_inference_api.requests.ranking import Rank
from llm_inference_api.text.pairs import Pair


class CallerGoneError(Exception):
    """The caller has gone."""


class Counted:
    """Tokenizer and model that note what they are given."""

    def __init__(self) -> None:
        self.joined: list[str] = []
        self.scored: list[Pair] = []

    def pair(self, _query: str, document: str) -> Pair:
        self.joined.append(document)
        return Pair([len(self.joined)], 1)

    def score(self, pair: Pair, check: Callable[[], None]) -> float:
        check()
        self.scored.append(pair)
        return 1.0 / len(self.scored)


def stops_at(call: int) -> Callable[[], None]:
    """Returns a check that raises at its call of this number, from 1."""
    left = iter(range(call - 1))

    def check() -> None:
        if next(left, None) is None:
            raise CallerGoneError

    return check


RANK = Rank("query", tuple(Input(f"documents[{at}]", text) for at, text in enumerate("abc")))


@pytest.mark.parametrize("documents", [0, 1, 2])
def test_caller_who_leaves_ends_the_tokenizing_of_documents(documents: int) -> None:
    """A thousand long documents take seconds before the first is computed."""
    counted = Counted()
    with pytest.raises(CallerGoneError):
        Ranker(counted.pair, counted, 100).answer(RANK, stops_at(documents + 1))
    assert counted.joined == list("abc")[:documents]
    assert not counted.scored


@pytest.mark.parametrize("documents", [0, 1, 2])
def test_caller_who_leaves_ends_the_computing_of_documents(documents: int) -> None:
    """The model is asked to check as well."""
    counted = Counted()
    with pytest.raises(CallerGoneError):
        Ranker(counted.pair, counted, 100).answer(RANK, stops_at(len(RANK.documents) + documents + 1))
    assert [pair.tokens for pair in counted.scored] == [[1], [2], [3]][:documents]


def test_relevances_are_in_the_documents_order() -> None:
    """With the tokens of each."""
    counted = Counted()
    found = Ranker(counted.pair, counted, 100).answer(RANK, lambda: None)
    assert [(each.score, each.tokens) for each in found] == [(1.0, 1), (0.5, 1), (1 / 3, 1)]
