"""Figures of answers, and prompts."""

import pytest

from benchmarks.comparison.answers import Answer, Prompts, UnusableError, pace, percentile, rate


def answer(*arrivals: float, started: float = 0.0, tokens: int = 4) -> Answer:
    return Answer(started, list(arrivals), ended=arrivals[-1], tokens=tokens)


def test_rate_is_of_the_whole_time() -> None:
    """From the first start to the last end, waiting included."""
    assert rate([answer(1.0, 2.0), answer(1.0, 4.0, started=1.0)]) == 8 / 4


def test_pace_leaves_out_the_time_to_the_first_text() -> None:
    """Each stream's own tokens behind its first, added up."""
    assert pace([answer(10.0, 11.0), answer(2.0, 8.0)]) == 3 / 1 + 3 / 6


def test_pace_of_an_answer_that_came_at_once_is_none() -> None:
    """There is no time to divide by."""
    assert pace([answer(1.0)]) == 0.0


def test_gaps_are_those_that_the_time_lies_in() -> None:
    """A gap that had begun before, or ends after, counts as a whole."""
    assert answer(1.0, 2.0, 5.0, 6.0, 9.0).gaps(4.0, 5.5) == [3.0, 1.0]


@pytest.mark.parametrize(("tokens", "arrivals"), [(3, [1.0]), (5, [1.0]), (4, [])])
def test_other_lengths_are_unusable(tokens: int, arrivals: list[float]) -> None:
    """More tokens, fewer, or no text."""
    with pytest.raises(UnusableError):
        Answer(0.0, arrivals, ended=2.0, tokens=tokens).check(4)


def test_the_length_that_was_asked_for_is_usable() -> None:
    """Nothing is raised."""
    answer(1.0, 2.0).check(4)


def test_prompts_are_never_the_same() -> None:
    """Of one sequence."""
    assert len(set(Prompts("seed").take(50, 8))) == 50


def test_prompts_depend_on_the_seed_alone() -> None:
    """Different servers get the same ones."""
    assert Prompts(1, "streams").take(3, 8) == Prompts(1, "streams").take(3, 8)
    assert Prompts(1, "streams").take(3, 8) != Prompts(2, "streams").take(3, 8)


def test_prompts_have_their_words() -> None:
    """Of three letters, each one token of the random model."""
    words = Prompts(1).words(500).split(" ")
    assert len(words) == 500
    assert {len(word) for word in words} == {3}


def test_percentiles_stay_within_the_values() -> None:
    """Few values do not make a figure that none of them has."""
    assert percentile([7.0], 99) == 7.0
    assert 1.0 <= percentile([1.0, 2.0, 3.0], 99) <= 3.0
