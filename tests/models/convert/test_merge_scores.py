import pytest

from llm_inference_api.models.convert.tokenizer.merge_scores import MergeOrderError, scores_of_merges

RUNS = {"▁" * length for length in range(1, 9)}


def splits(piece: str) -> list[tuple[str, str]]:
    return [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]


def test_tokens_score_in_the_order_of_their_merges() -> None:
    """An earlier merge makes a token of a higher score."""
    scores = scores_of_merges([("a", "b"), ("ab", "c"), ("c", "d")], {"a", "b", "c", "d", "ab", "abc", "cd"})

    assert scores["ab"] > scores["abc"] > scores["cd"]


def test_runs_that_are_listed_by_token_keep_their_order() -> None:
    """Llama's runs of spaces in the list of an older converter."""
    merges = [merge for length in (2, 4, 8, 5, 6, 3, 7) for merge in splits("▁" * length)]

    scores = scores_of_merges(merges, RUNS)

    assert scores["▁▁"] > scores["▁▁▁▁"] > scores["▁▁▁"]


def test_runs_that_are_listed_by_length_share_a_score() -> None:
    """The same runs, and Gemma's of line ends beside them, in the list of a newer converter."""
    merges = [merge for piece in RUNS | {"\n\n", "\n\n\n"} for merge in splits(piece)]
    merges.sort(key=lambda merge: (-len(merge[0]), -len(merge[1]), merge[0]))

    scores = scores_of_merges(merges, RUNS | {"\n", "\n\n", "\n\n\n"})

    assert len({scores[run] for run in RUNS if len(run) > 2}) == 1
    assert scores["▁▁"] < scores["▁▁▁"]


def test_runs_that_merge_otherwise_are_refused() -> None:
    """Runs that grow from the right cannot be scored."""
    merges = [("▁", "▁▁"), ("▁", "▁"), ("▁▁", "▁")]

    with pytest.raises(MergeOrderError, match="runs of '▁'"):
        scores_of_merges(merges, {"▁", "▁▁", "▁▁▁"})


def test_merges_that_are_apart_are_refused() -> None:
    """A token whose merges have another's between them cannot be scored."""
    merges = [("a", "bc"), ("b", "c"), ("ab", "c"), ("a", "b")]

    with pytest.raises(MergeOrderError, match="'abc'"):
        scores_of_merges(merges, {"a", "b", "c", "ab", "bc", "abc"})


def test_missing_merges_are_refused() -> None:
    """A token that llama.cpp would make where the list does not is refused."""
    with pytest.raises(MergeOrderError, match="not merged"):
        scores_of_merges([("a", "b")], {"a", "b", "c", "ab", "bc"})
