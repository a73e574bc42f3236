"""Budgets that know no clock."""

from collections.abc import Sequence

from llm_inference_api.engine.scheduler import Budget


def fixed(rows: int) -> Budget:
    """Returns a budget of so many rows in each step."""

    def budget(_decoding: Sequence[int], _prompts: Sequence[range], _newcomers: int) -> int:
        return rows

    return budget
