"""Which models fit a memory."""

import json
from itertools import pairwise

from llm_inference_api.cli.recommend import recommendations
from tests.cli.test_main import run

GIB = 1 << 30


def fitting(gib: float, context: int = 8192) -> set[tuple[float, str]]:
    return {(each.billions, each.type) for each in recommendations(int(gib * GIB), context) if each.fits}


def test_memory_holds_weights_and_a_context() -> None:
    """8 GiB hold 8 B in four bits with it, not in eight."""
    assert (8.0, "Q4_K_M") in fitting(8)
    assert (8.0, "Q8_0") not in fitting(8)


def test_context_is_shortened_to_what_fits() -> None:
    """Down to a length that is of use."""
    (found,) = [
        each for each in recommendations(int(6.2 * GIB), 32768) if (each.billions, each.type) == (8.0, "Q4_K_M")
    ]
    assert found.fits
    assert 2048 <= found.context < 32768


def test_more_memory_fits_no_less() -> None:
    """At every size."""
    sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    assert all(fitting(small) <= fitting(large) for small, large in pairwise(sizes))


def test_command_names_what_fits_the_budget() -> None:
    """And all sizes on request."""
    done = run("models", "recommend", "--json", LLM_MEMORY_BUDGET="4GiB")
    rows = json.loads(done.stdout)
    assert rows
    assert all(found["fits"] and found["gib"] <= 4 for found in rows)
    everything = json.loads(run("models", "recommend", "--all", "--json", LLM_MEMORY_BUDGET="4GiB").stdout)
    assert len(everything) > len(rows)
