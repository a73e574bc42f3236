"""Order of ranked documents."""

from llm_inference_api.requests.ranking import Relevance, best


def test_equally_relevant_documents_keep_their_order() -> None:
    """The rest comes by relevance."""
    found = tuple(Relevance(score, 1) for score in (0.5, 0.9, 0.5))
    assert [item.place for item in best(found, None)] == [1, 0, 2]


def test_top_n_is_of_the_best() -> None:
    """More than there are is all."""
    found = tuple(Relevance(score, 1) for score in (0.1, 0.9))
    assert [item.place for item in best(found, 1)] == [1]
    assert len(best(found, 5)) == 2
