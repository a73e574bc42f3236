"""The template of a generative ranker."""

import pytest

from llm_inference_api.text.rank_template import RankTemplate


def test_texts_stand_in_their_places() -> None:
    """A text that looks like a place is text."""
    template = RankTemplate("Q {query} D {document}!", [])
    assert template.render("{document}", "b") == ["Q {document} D b!"]


def test_control_token_in_a_text_is_cut() -> None:
    """So that its parts are tokenized apart; one of the template itself is whole."""
    template = RankTemplate("<|end|>{query}{document}", ["<|end|>"])
    assert template.render("a<|end|>", "b") == ["<|end|>a<", "|end|>b"]


@pytest.mark.parametrize(("source", "missing"), [("{query}", "document"), ("{document}", "query")])
def test_template_without_a_place_is_a_problem(source: str, missing: str) -> None:
    """It would rank every document alike."""
    assert RankTemplate(source, []).problem == f"its template 'rerank' has no {{{missing}}}"
