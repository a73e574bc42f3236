"""Rows of steps, from the durations of others."""

import random

import pytest

from llm_inference_api.engine.step_budget import StepBudget

# TinyLlama 1.1B in Q4_K_M on two cores, 25 November 2026: rows of a step, and prompt tokens a second.
MEASURED = {1: 39, 4: 50, 8: 67, 12: 76, 16: 109, 32: 118, 48: 115, 64: 128, 128: 135, 512: 125}


def budget(costs: dict[int, float], *, batch_tokens: int = 512, max_gap: float = 4) -> StepBudget:
    made = StepBudget(batch_tokens, max_gap)
    for size, seconds in costs.items():
        made.observe(size, 0, seconds)
    return made


def rows(made: StepBudget, decoding: int, newcomers: int = 1) -> int:
    """Returns the rows of a step with answers and long prompts, all of it at the start of their contexts."""
    return made.rows([0] * decoding, [range(1)] * 1000, newcomers)


@pytest.mark.parametrize(("decoding", "most"), [(1, 16), (4, 32), (8, 48), (12, 64), (16, 64)])
def test_step_beside_answers_is_bounded_by_their_own(decoding: int, most: int) -> None:
    """To four times as long as it would be without prompts, in multiples of what the kernels compute at a time."""
    assert rows(budget({size: size / rate for size, rate in MEASURED.items()}), decoding) == most


@pytest.mark.parametrize(
    ("decoding", "newcomers", "most"), [(1, 2, 16), (1, 15, 128), (4, 4, 32), (4, 12, 128), (8, 8, 48)]
)
def test_burst_is_computed_in_larger_steps(decoding: int, newcomers: int, most: int) -> None:
    """More requests gain by them than answers wait longer, a second at most."""
    assert rows(budget({size: size / rate for size, rate in MEASURED.items()}), decoding, newcomers) == most


@pytest.mark.parametrize(("max_gap", "most"), [(1, 16), (2, 16), (8, 80), (1000, 512)])
def test_bound_is_a_setting(max_gap: float, most: int) -> None:
    """The larger, the sooner prompts are computed; they always go on."""
    assert rows(budget({size: size / rate for size, rate in MEASURED.items()}, max_gap=max_gap), 4) == most


def test_step_of_prompts_alone_takes_about_a_second() -> None:
    """Cancels wait for its end."""
    assert rows(budget({128: 0.95, 512: 4.1}), 0) == 128
    assert rows(budget({512: 0.1}), 0) == 512


def test_gaps_that_nobody_notices_are_free() -> None:
    """On a GPU a step takes milliseconds, with many rows as well."""
    assert rows(budget({1: 0.004, 512: 0.03}), 1) == 512


def test_prompts_go_on_beside_any_number_of_answers() -> None:
    """Even where the rows of those fill what the kernels compute at a time, or the bound is passed."""
    slow = budget({1: 1.0}, max_gap=1)
    assert [rows(slow, decoding) for decoding in (1, 16, 17)] == [16, 32, 32]
    assert rows(slow, 0) == 16


@pytest.mark.parametrize("batch_tokens", [64, 100])
def test_batch_is_not_exceeded(batch_tokens: int) -> None:
    """Whether or not its size is one of the kernels' multiples."""
    assert rows(budget({64: 0.01}, batch_tokens=batch_tokens), 0) == batch_tokens
    assert rows(StepBudget(batch_tokens, 4), 0) == 64


def test_slow_step_is_forgotten() -> None:
    """Other steps bound what it could cost, so that its number of rows is tried again."""
    made = budget({4: 0.08, 16: 0.147, 32: 0.27})
    assert rows(made, 4) == 32
    made.observe(32, 0, 30.0)
    assert rows(made, 4) == 32


def test_steps_that_become_slower_get_fewer_rows() -> None:
    """Where the machine has other work, say."""
    made = budget({1: 0.026, 16: 0.05, 32: 0.09})
    assert rows(made, 1) == 32
    for _ in range(20):
        made.observe(16, 0, 0.1)
        made.observe(32, 0, 0.2)
    assert rows(made, 1) == 16


# smollm2 (135M, Q4_1) on two cores, 27 November 2026: seconds of a step without keys and for each key of a row.
SMALL = {1: 0.006, 2: 0.010, 4: 0.011, 8: 0.011, 16: 0.018, 32: 0.037, 64: 0.080, 256: 0.371}
KEY = 6e-6


class Machine:
    """Computes prompts in the steps that a budget allows, beside one answer."""

    def __init__(self) -> None:
        self.budget = StepBudget(512, 4)
        self.chance = random.Random(1)
        self.unknown = 0.0
        """Part of the seconds by which a step with a part of a prompt takes longer, for reasons of its own."""

    def step(self, size: int, keys: int) -> float:
        """Returns the seconds of a step, which differ by some percent from one to the next."""
        without_keys = min(seconds * max(1, size / known) for known, seconds in SMALL.items())
        longer = 1 + self.unknown * (size > 1)
        seconds = (without_keys + KEY * keys) * longer * self.chance.uniform(0.9, 1.1)
        self.budget.observe(size, keys, seconds)
        return seconds

    def compute(self, prompt: range) -> list[float]:
        """Returns the seconds of the steps that compute a prompt."""
        gaps, position = [], prompt.start
        while position < prompt.stop:
            count = min(self.budget.rows([100], [range(position, prompt.stop)]) - 1, prompt.stop - position)
            gaps.append(self.step(1 + count, 100 + sum(range(position, position + count))))
            position += count
        return gaps


def test_rows_deep_in_a_long_prompt_are_fewer() -> None:
    """Each attends to all keys before it, which is most of the work of a small model."""
    machine = Machine()
    for _ in range(50):
        machine.step(1, 100)
    gaps = machine.compute(range(4000))
    assert sorted(gaps)[len(gaps) * 95 // 100] < 0.06
    assert machine.budget.rows([100], [range(10, 3000)]) >= 16


def test_what_the_estimates_leave_out_is_allowed_for() -> None:
    """Rows may walk the cells of others, or have scores that are read: 19 of 20 steps keep the bound all the same."""
    machine = Machine()
    machine.compute(range(2000))
    machine.unknown = 0.3
    gaps = sorted(machine.compute(range(2000, 2300))[50:])
    assert gaps[len(gaps) * 95 // 100] < 0.05


def test_cost_of_keys_is_known_for_the_next_long_prompt() -> None:
    """Its first step begins where a prefix in the cache ends, deep in the prompt."""
    machine = Machine()
    machine.compute(range(4000))
    machine.compute(range(500))
    assert max(machine.compute(range(2000, 2100))) < 0.08


def test_keys_of_large_models_cost_nothing_that_counts() -> None:
    """A step has the rows there that it has at the start of a prompt."""
    made = StepBudget(512, 4)
    for depth in range(0, 3000, 16):
        for size, rate in MEASURED.items():
            made.observe(size, size * depth, size / rate)
    assert made.rows([2000], [range(2000, 3000)]) == made.rows([0], [range(1000)]) == 16


def test_fewest_rows_that_kernels_compute_are_taken_where_keys_cost_little() -> None:
    """Fewer would take as long; not where their keys are what takes the time."""
    made = StepBudget(512, 4)
    for depth in range(0, 3000, 16):
        for size, rate in MEASURED.items():
            made.observe(size, size * depth, size / rate + KEY * size * depth)
    assert made.rows([100], [range(100, 1000)]) == 16
    assert made.rows([100], [range(2000, 3000)]) < 16


def test_one_row_is_left_for_a_prompt_however_deep() -> None:
    """It goes on in any case."""
    machine = Machine()
    machine.compute(range(3000))
    assert machine.budget.rows([100], [range(100_000, 100_100)]) == 2


def test_paused_machine_says_nothing_of_keys() -> None:
    """A step of half a minute is forgotten like any other."""
    machine = Machine()
    machine.compute(range(2000))
    machine.budget.observe(5, 4 * 2000, 30.0)
    machine.compute(range(2000, 2100))
    assert machine.budget.rows([100], [range(1000)]) >= 16
    assert max(machine.compute(range(2000, 2100))) < 0.08


def test_pause_at_the_first_deep_row_starves_no_prompt() -> None:
    """Keys cannot have cost more than any step with keys took."""
    machine = Machine()
    machine.compute(range(100))
    machine.step(5, 400)
    machine.budget.observe(5, 8000, 30.0)
    assert machine.budget.rows([100], [range(300, 1000)]) > 4


def test_cost_of_a_key_is_learnt_from_many_steps() -> None:
    """The last ones, of about as many keys each, differ by chance more than by their keys."""
    machine = Machine()
    for keys in range(400, 16_000, 100):
        machine.step(4, keys)
    learnt = []
    for at in range(20):
        machine.step(4, 16_000 + 10 * at)
        learnt.append(machine.budget.seconds(4, 16_000) - machine.budget.seconds(4, 0))
    assert all(0.8 * KEY * 16_000 < seconds < 1.2 * KEY * 16_000 for seconds in learnt)
