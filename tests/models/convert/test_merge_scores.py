"""Scores for llama.cpp's sentencepiece algorithm from lists of BPE merges."""

import pytest

from llm_inference_api.models.convert.tokenizer.merge_scores import MergeOrderError, scores_of_merges

RUNS = {"▁" * length for length in range(1, 9)}


def splits(piece: str) -> list[tuple[str, str]]:
    return [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]


def test_tokens_score_in_the_order_of_their_merges() -> None:
    """The token of an earlier merge has a higher score."""
    scores = scores_of_merges([("a", "b"), ("ab", "c"), ("c", "d")], {"a", "b", "c", "d", "ab", "abc", "cd"})

    assert scores["ab"] > scores["abc"] > scores["cd"]


def test_runs_that_are_listed_by_token_keep_their_order() -> None:
    """Llama's runs of spaces as earlier converters list them."""
    merges = [merge for length in (2, 4, 8, 5, 6, 3, 7) for merge in splits("▁" * length)]

    scores = scores_of_merges(merges, RUNS)

    assert scores["▁▁"] > scores["▁▁▁▁"] > scores["▁▁▁"]


def test_runs_that_are_listed_by_length_share_a_score() -> None:
    """The same runs, with Gemma's runs of line ends, as newer converters list them."""
    merges = [merge for piece in RUNS | {"\n\n", "\n\n\n"} for merge in splits(piece)]
    merges.sort(key=lambda merge: (-len(merge[0]), -len(merge[1]), merge[0]))

    scores = scores_of_merges(merges, RUNS | {"\n", "\n\n", "\n\n\n"})

    assert len({scores[run] for run in RUNS if len(run) > 2}) == 1
    assert scores["▁▁"] < scores["▁▁▁"]


def test_runs_that_merge_otherwise_are_refused() -> None:
    """No scores merge runs from the right."""
    merges = [("▁", "▁▁"), ("▁", "▁"), ("▁▁", "▁")]

    with pytest.raises(MergeOrderError, match="runs of '▁'"):
        scores_of_merges(merges, {"▁", "▁▁", "▁▁▁"})


def test_merges_that_are_not_contiguous_are_refused() -> None:
    """No score expresses the merges of a token that have another token's between them."""
    merges = [("a", "bc"), ("b", "c"), ("ab", "c"), ("a", "b")]

    with pytest.raises(MergeOrderError, match="'abc'"):
        scores_of_merges(merges, {"a", "b", "c", "ab", "bc", "abc"})


def test_missing_merges_are_refused() -> None:
    """A token that llama.cpp would merge and the list does not is refused."""
    with pytest.raises(MergeOrderError, match="not merged"):
        scores_of_merges([("a", "b")], {"a", "b", "c", "ab", "bc"})
