"""Every family against llama.cpp's cases and transformers' renderings."""

import importlib.util
import os
from collections.abc import Sequence

import pytest

from tests.oracle.families import measured, page
from tests.oracle.families.renderings import PYTHON
from tests.oracle.families.table import explanations
from tests.oracle.material import cached_material

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(0)]
READ, RENDERED = 0.95, 0.99
"""Parts of the cases, and of the renderings, that have to be the same."""


@pytest.fixture(scope="module")
def families() -> Sequence[measured.Family]:
    if PYTHON not in os.environ and importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed; `make families` installs it")
    return measured.families(cached_material("llama-chat"))


def unexplained(families: Sequence[measured.Family], kind: str) -> list[str]:
    """Returns what differs without an explanation, or is explained and does not differ."""
    known = explanations(kind)
    found = {one.name: one.problem for family in families for one in measured.differences(family) if one.kind == kind}
    missing = [f"{name}: {problem}" for name, problem in found.items() if name not in known]
    return missing + [f"{name} is explained, but does not differ" for name in known if name not in found]


def test_answers_mean_what_llama_cpp_says(families: Sequence[measured.Family]) -> None:
    """Calls, thoughts and content are the same, whole and character by character; each difference is explained."""
    same = [not one.difference for family in families for one in family.outcomes]
    assert not unexplained(families, "reading")
    assert sum(same) >= READ * len(same), measured.rate(same)


def test_the_mask_lets_models_write_their_calls(families: Sequence[measured.Family]) -> None:
    """Each text with calls can be written where calls are free, and where they are required if it is calls only."""
    assert not unexplained(families, "mask")


def test_renderings_are_those_of_transformers(families: Sequence[measured.Family]) -> None:
    """Chats that a template can take render the same; each difference is explained."""
    same = [one.kind.is_same for family in families for one in family.renderings if not one.kind.is_rewritten]
    assert not unexplained(families, "rendering")
    assert sum(same) >= RENDERED * len(same), measured.rate(same)


def test_the_page_has_the_table(families: Sequence[measured.Family]) -> None:
    """docs/models.md has the table that `make families` writes."""
    assert page.written() == measured.table(families)
