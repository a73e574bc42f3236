"""Links between the project's pages lead somewhere."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, Page, pages

_ELSEWHERE = ("http://", "https://")


def broken_links(page: Page) -> list[str]:
    """Returns the page's relative links that lead to no file, or to no heading of one."""
    anchors = cache(lambda path: Page(path).anchors)  # Many links lead to one page.
    return [
        link for link in page.links if not link.startswith(_ELSEWHERE) and not _leads_somewhere(page, link, anchors)
    ]


def _leads_somewhere(page: Page, link: str, anchors: Callable[[Path], set[str]]) -> bool:
    file, _, anchor = link.partition("#")
    path = page.path.parent / file if file else page.path
    return path.exists() and (not anchor or anchor in anchors(path))


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.path.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Page) -> None:
    """Every relative link of a page has its file, and its heading where it names one."""
    assert broken_links(page) == []


def test_every_page_of_docs_is_linked_from_the_readme() -> None:
    """Who begins at the README finds all pages."""
    linked = {(PROJECT / link.partition("#")[0]).resolve() for link in Page(PROJECT / "README.md").links}
    assert set((PROJECT / "docs").glob("*.md")) <= linked


def test_broken_links_are_found(tmp_path: Path) -> None:
    """Files and headings that are not there, also behind pictures; addresses elsewhere are left alone."""
    (tmp_path / "other.md").write_text("# A `b` c, d\n\n# Twice\n\n# Twice\n")
    page = tmp_path / "page.md"
    good = "[1](other.md#a-b-c-d) [2](other.md#twice-1) [3](#here) [4](https://example.com/x) [5](.)"
    bad = "[1](missing.md) [2](other.md#twice-2) [3](#there) ![4](missing.png)"
    page.write_text(f"# Here\n\n{good}\n\n{bad}\n\n```\n[in code](missing.md)\n```\n")
    assert broken_links(Page(page)) == ["missing.md", "other.md#twice-2", "#there", "missing.png"]
