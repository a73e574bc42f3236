"""What a browser loads to show a page."""

from typing import Any

import pytest

from tests.e2e.browser import MARKS, Answers, answer, ask, expect, tab
from tests.e2e.service import RunningService

pytestmark = MARKS

LARGEST = 320_000
"""Bytes of the chat page, uncompressed: 124,681 of them are markdown-it's."""
# [path, bytes, bytes that came over the network] of the document and all that it loaded.
LOADED = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map(({name, decodedBodySize, transferSize}) => [new URL(name).pathname, decodedBodySize, transferSize])
    .filter(([path]) => /^\\/(assets\\/.*|status|swagger-ui)?$/.test(path))"""


def loaded(page: Any) -> dict[str, tuple[int, int]]:
    """Returns the sizes of what the page has loaded by its path: decoded, and from the network."""
    expect(page.locator("#model-state")).to_have_text("ready")
    return {path: (size, sent) for path, size, sent in page.evaluate(LOADED)}


@pytest.mark.parametrize("locale", ["en-US", "de-DE"])
def test_chat_page_is_small(browser: Any, demo: RunningService, locale: str) -> None:
    """With all that a fresh browser loads until one can ask: no highlighter, and nothing for formulas."""
    with tab(browser, demo.url, locale=locale) as page:
        page.goto("/")
        expect(page.locator("#model-state")).to_have_text("ready" if locale == "en-US" else "bereit")
        sizes = {path: size for path, size, _ in page.evaluate(LOADED)}
    assert all(size > 0 for size in sizes.values())
    assert any("markdown-it" in path for path in sizes)
    assert not any("highlight" in path or "temml" in path for path in sizes)
    assert 200_000 < sum(sizes.values()) < LARGEST


def test_formulas_are_loaded_when_the_first_one_comes(page: Any) -> None:
    """Dollars alone load nothing."""
    Answers(page).say("It costs $5 and $10.", "It is $a^2$.")
    ask(page, "How much?")
    answer(page)
    assert not any("temml" in path for path in loaded(page))
    ask(page, "How large?")
    expect(page.locator("math")).to_have_count(1)
    assert any("temml" in path for path in loaded(page))


def test_second_visit_loads_the_document_alone(page: Any) -> None:
    """All else is kept, without a question to the service."""
    first = loaded(page)
    assert sum(sent for _, sent in first.values()) > 50_000
    page.goto("/status")
    page.goto("/")
    again = loaded(page)
    assert again.keys() == first.keys()
    assert [path for path, (_, sent) in again.items() if sent] == ["/"]
