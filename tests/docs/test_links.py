"""Links between the project's pages lead somewhere; so do the names of files and tests in them."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import PROJECT, Page, pages

_ELSEWHERE = ("http://", "https://")
_FILE = re.compile(r"[\w-]+/[\w/-]+\.(?:py|lua|proto|toml|sh)")
_SOURCE = PROJECT / "src/llm_inference_api"
_TEST = re.compile(r"test_\w+")


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


def missing_names(page: Page) -> list[str]:
    """Returns the names of source files and tests, between backticks, that nothing has."""
    roots = (page.path.parent, PROJECT, _SOURCE)
    files = [code for code in page.code if _FILE.fullmatch(code)]
    missing = [file for file in files if not any((root / file).exists() for root in roots)]
    return missing + [code for code in page.code if _TEST.fullmatch(code) and code not in _names_of_tests()]


@cache
def _names_of_tests() -> frozenset[str]:
    sources = (path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    modules = (path.stem for path in (PROJECT / "tests").rglob("test_*.py"))
    return frozenset(modules) | {name for source in sources for name in re.findall(r"def (test_\w+)", source)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.path.relative_to(PROJECT)))
def test_files_and_tests_that_a_page_names_are_there(page: Page) -> None:
    """The record of faults names the test of each, and a file may be renamed."""
    assert missing_names(page) == []


def test_missing_names_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`rpc/health.py`, `rpc/none.py`, `test_missing_names_are_found`, `test_of_nothing`, `a/b.json`")
    assert missing_names(Page(page)) == ["rpc/none.py", "test_of_nothing"]
