"""A person at a browser: headless Chromium that shows the service's pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

playwright: Any = pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
expect = playwright.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
PATIENCE = 60_000
"""Milliseconds; most of this takes a hundred on a machine that has nothing else to do."""

# Notes every text that an element of the page has had; clicks "Stop" at a text's length, faster than Python can.
WATCH = """
window.seen = {};
document.addEventListener("DOMContentLoaded", () => {
  const note = (name, element) => (window.seen[name] ??= []).push(element.innerText);
  new MutationObserver(() => {
    const status = document.getElementById("status");
    if (!status) return; // Another page.
    note("status", status);
    const answers = document.querySelectorAll(".assistant .text");
    if (!answers.length) return;
    note("answer", answers[answers.length - 1]);
    if (answers[answers.length - 1].innerText.length >= window.stopAt) document.getElementById("stop").click();
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
});
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Yields the browser that is installed."""
    with playwright.sync_playwright() as running:
        # Its sandbox needs rights that root in a container does not have; it sees only our own pages.
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def tab(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Yields a new tab; fails afterwards where a page broke, broke its own policy, or asked another host."""
    context = browser.new_context(base_url=url, **{"viewport": DESKTOP, **options})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    page.add_init_script(WATCH)
    requests: list[str] = []
    problems: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert not problems
    assert [address for address in requests if not address.startswith((url, "data:", "blob:"))] == []


def seen(page: Any, name: str) -> list[str]:
    """Returns the texts that the status or the answer has had, each once in a row."""
    texts: list[str] = page.evaluate("name => window.seen[name] ?? []", name)
    return [text for index, text in enumerate(texts) if index == 0 or text != texts[index - 1]]


def ask(page: Any, text: str) -> None:
    """Sends a message as a person does."""
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def answer(page: Any) -> Any:
    """Returns the last answer, which must be complete."""
    expect(page.locator(".turn").last.locator("footer")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    return page.locator(".assistant .text").last
