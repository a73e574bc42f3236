"""Rows of steps, from the durations of others."""

import pytest

from llm_inference_api.engine.step_budget import StepBudget

# TinyLlama 1.1B in Q4_K_M on two cores, 25 November 2026: rows of a step, and prompt tokens a second.
MEASURED = {1: 39, 4: 50, 8: 67, 12: 76, 16: 109, 32: 118, 48: 115, 64: 128, 128: 135, 512: 125}


def budget(costs: dict[int, float], *, batch_tokens: int = 512, max_gap: float = 4) -> StepBudget:
    made = StepBudget(batch_tokens, max_gap)
    for rows, seconds in costs.items():
        made.observe(rows, seconds)
    return made


@pytest.mark.parametrize(("decoding", "rows"), [(1, 16), (4, 32), (8, 48), (12, 64), (16, 64)])
def test_step_beside_answers_is_bounded_by_their_own(decoding: int, rows: int) -> None:
    """To four times as long as it would be without prompts, in multiples of what the kernels compute at a time."""
    assert budget({size: size / rate for size, rate in MEASURED.items()}).rows(decoding) == rows


@pytest.mark.parametrize(("max_gap", "rows"), [(1, 16), (2, 16), (8, 80), (1000, 512)])
def test_bound_is_a_setting(max_gap: float, rows: int) -> None:
    """The larger, the sooner prompts are computed; they always go on."""
    assert budget({size: size / rate for size, rate in MEASURED.items()}, max_gap=max_gap).rows(4) == rows


def test_step_of_prompts_alone_takes_about_a_second() -> None:
    """Cancels wait for its end."""
    assert budget({128: 0.95, 512: 4.1}).rows(0) == 128
    assert budget({512: 0.1}).rows(0) == 512


def test_gaps_that_nobody_notices_are_free() -> None:
    """On a GPU a step takes milliseconds, with many rows as well."""
    assert budget({1: 0.004, 512: 0.03}).rows(1) == 512


def test_prompts_go_on_beside_any_number_of_answers() -> None:
    """Even where the rows of those fill what the kernels compute at a time, or the bound is passed."""
    slow = budget({1: 1.0}, max_gap=1)
    assert [slow.rows(decoding) for decoding in (1, 16, 17)] == [16, 32, 32]
    assert slow.rows(0) == 16


@pytest.mark.parametrize("batch_tokens", [64, 100])
def test_batch_is_not_exceeded(batch_tokens: int) -> None:
    """Whether or not its size is one of the kernels' multiples."""
    assert budget({64: 0.01}, batch_tokens=batch_tokens).rows(0) == batch_tokens
    assert StepBudget(batch_tokens, 4).rows(0) == 64


def test_slow_step_is_forgotten() -> None:
    """Other steps bound what it could cost, so that its number of rows is tried again."""
    made = budget({4: 0.08, 16: 0.147, 32: 0.27})
    assert made.rows(4) == 32
    made.observe(32, 30.0)
    assert made.rows(4) == 32


def test_steps_that_become_slower_get_fewer_rows() -> None:
    """A long context makes all of them longer, prompts more than answers."""
    made = budget({1: 0.026, 16: 0.05, 32: 0.09})
    assert made.rows(1) == 32
    for _ in range(20):
        made.observe(16, 0.1)
        made.observe(32, 0.2)
    assert made.rows(1) == 16
