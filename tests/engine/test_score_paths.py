"""Paths that compute the scores of texts with common beginnings."""

from llm_inference_api.engine.score_paths import Place, ScoredText, ScorePaths


def test_last_tokens_are_not_computed() -> None:
    """Texts of one token are all read behind the prefix."""
    paths = ScorePaths([1, 2], [ScoredText((7,), 0), ScoredText((8,), 0)])
    assert [paths.tokens(path) for path in range(len(paths))] == [[1, 2]]
    assert paths.places == [(Place(0, 1, 7),), (Place(0, 1, 8),)]


def test_shared_beginning_is_read_on_one_path() -> None:
    """A token after a beginning that two texts share is read where the first path computes it."""
    paths = ScorePaths([1], [ScoredText((5, 6, 7), 0), ScoredText((5, 8, 9), 0)])
    assert [paths.tokens(path) for path in range(len(paths))] == [[1, 5, 6], [1, 5, 8]]
    assert paths.places[1] == (Place(0, 0, 5), Place(0, 1, 8), Place(1, 2, 9))
    assert paths.wanted() == [{0: (5,), 1: (6, 8), 2: (7,)}, {2: (9,)}]


def test_beginning_of_another_text_needs_no_path() -> None:
    """What a longer text computes anyway is not computed again."""
    paths = ScorePaths([1], [ScoredText((5, 6), 0), ScoredText((5, 6, 7, 8), 0)])
    assert len(paths) == 1
    assert paths.places[0] == (Place(0, 0, 5), Place(0, 1, 6))


def test_text_between_is_not_scored() -> None:
    """Tokens before the first one to score are computed only."""
    paths = ScorePaths([1], [ScoredText((5, 6, 7), 2)])
    assert paths.places == [(Place(0, 2, 7),)]


def test_path_follows_the_one_that_computes_its_beginning() -> None:
    """Each waits for the first path with all that it shares with those before."""
    texts = [ScoredText((5, 6, 1), 0), ScoredText((5, 7, 1), 0), ScoredText((8, 9, 1), 0), ScoredText((8, 9, 2, 3), 0)]
    paths = ScorePaths([1], [*texts, ScoredText((8, 10, 2), 0)])
    assert [paths.tokens(path)[1:] for path in range(len(paths))] == [[5, 6], [5, 7], [8, 9, 2], [8, 10]]
    assert [paths.parent(path) for path in range(1, len(paths))] == [0, 0, 2]


def test_order_of_texts_changes_no_path() -> None:
    """The same texts in another order are computed alike."""
    texts = [ScoredText((5, 6, 7), 1), ScoredText((5, 8), 1), ScoredText((4, 4, 4), 0)]
    there, back = ScorePaths([1, 2], texts), ScorePaths([1, 2], texts[::-1])
    assert [there.tokens(path) for path in range(len(there))] == [back.tokens(path) for path in range(len(back))]
    assert there.places == back.places[::-1]


def test_size_counts_distinct_tokens() -> None:
    """A beginning that texts share counts once; last tokens count too."""
    assert ScorePaths([1, 2], [ScoredText((5, 6), 0), ScoredText((5, 7), 0)]).size == 5
