from llm_inference_api.engine.step_budget import StepBudget


def test_budget_follows_the_measured_speed() -> None:
    """A step gets as many rows as fit its time; fewer while answers wait for their next token."""
    budget = StepBudget(batch_tokens=512)
    budget.observe(rows=100, seconds=1.0)
    assert budget.rows(decoding=False) == 100
    assert budget.rows(decoding=True) == 25


def test_budget_stays_within_the_batch() -> None:
    """A fast machine gets full batches, a slow one at least what makes a pass over the weights worth it."""
    budget = StepBudget(batch_tokens=512)
    budget.observe(rows=100, seconds=0.001)
    assert budget.rows(decoding=True) == 512
    slow = StepBudget(batch_tokens=512)
    slow.observe(rows=16, seconds=60.0)
    assert slow.rows(decoding=True) == 16


def test_steps_of_few_rows_teach_nothing() -> None:
    """A decode step's time is a pass over the weights; it says little about a row."""
    budget = StepBudget(batch_tokens=512)
    budget.observe(rows=100, seconds=1.0)
    budget.observe(rows=1, seconds=1.0)
    assert budget.rows(decoding=False) == 100
