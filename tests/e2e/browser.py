"""A person at a browser: headless Chromium that shows the service's pages."""

import json
import shutil
from collections.abc import Callable, Iterator
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

# Notes every text that elements of the page have had; clicks "Stop" at a text's length, faster than Python can.
WATCH = """
window.seen = {};
document.addEventListener("DOMContentLoaded", () => {
  const note = (name, element) => element && (window.seen[name] ??= []).push(element.innerText);
  const last = (selector) => [...document.querySelectorAll(selector)].at(-1);
  new MutationObserver(() => {
    note("announced", document.getElementById("announcer"));
    note("waiting", last(".assistant .waiting:not([hidden])"));
    note("state", document.getElementById("model-state"));
    const text = last(".assistant .text");
    note("answer", text);
    if (text?.innerText.length >= window.stopAt) document.getElementById("stop").click();
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
def tab(browser: Any, url: str, *, is_watched: bool = True, **options: Any) -> Iterator[Any]:
    """Yields a new tab; fails afterwards where a page broke, broke its own policy, or asked another host.

    With `is_watched`, `seen` knows what was on the page, for which its thread reads the last answer at each change.
    """
    context = browser.new_context(base_url=url, **{"viewport": DESKTOP, **options})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    if is_watched:
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
    """Returns the texts that were announced, or that the answer, its progress or the model's state has had."""
    texts: list[str] = page.evaluate("name => window.seen[name] ?? []", name)
    return [text for index, text in enumerate(texts) if index == 0 or text != texts[index - 1]]


def ask(page: Any, text: str) -> None:
    """Sends a message as a person does."""
    page.get_by_label("Message").fill(text)
    page.get_by_role("button", name="Send").click()


def answer(page: Any) -> Any:
    """Returns the text of the last answer, which must have ended."""
    expect(page.locator(".assistant").last.locator("footer")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    return page.locator(".assistant .text").last


def events(*values: dict[str, Any]) -> str:
    """Returns the body of a stream of these events."""
    return "".join(f"data: {json.dumps(value)}\n\n" for value in values)


def said(text: str, finish: str = "STOP", **more: Any) -> str:
    """Returns the body of a stream that says the text, in pieces."""
    pieces = ({"delta": {"content": text[at : at + 40]}} for at in range(0, len(text), 40))
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120, "cached_tokens": 64}
    timings = {"completion_tokens_per_second": 41.5}
    end = {"delta": {}, "finish_reason": finish, "max_tokens": 512, "usage": usage, "timings": timings}
    return events({"id": "1", "model": "demo", "delta": {"content": ""}}, *pieces, {**end, **more})


class Answers:
    """Answers the page's chats in the model's stead, one after another, and keeps what was asked.

    When all answers were given, no connection can be made.
    """

    def __init__(self, page: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._next: list[dict[str, Any]] = []
        page.route("**/api/chat/stream", self._answer)

    def add(self, body: str = "", status: int = 200, **headers: str) -> None:
        """Adds an answer: a stream, or an error's JSON."""
        kind = "text/event-stream" if status == 200 else "application/json"
        self._next.append({"status": status, "body": body, "headers": {"content-type": kind, **headers}})

    def say(self, *texts: str) -> None:
        """Adds whole answers."""
        for text in texts:
            self.add(said(text))

    def _answer(self, route: Any) -> None:
        self.asked.append(route.request.post_data_json)
        answer = self._next.pop(0) if self._next else {}
        if answer:
            route.fulfill(**answer)
        else:
            route.abort()

    def roles(self) -> list[str]:
        """Returns the roles of the last request's messages."""
        return [message["role"] for message in self.asked[-1]["messages"]]

    def contents(self) -> list[str]:
        """Returns the texts of the last request's messages."""
        return [message["content"] for message in self.asked[-1]["messages"]]


def hold_answer(page: Any, *values: dict[str, Any]) -> None:
    """Lets chats be answered with these events, and with nothing after them."""
    page.evaluate(
        """(body) => {
            const real = window.fetch;
            const held = (signal) => new ReadableStream({start: (to) => {
                to.enqueue(new TextEncoder().encode(body));
                signal.addEventListener("abort", () => to.error(new DOMException("", "AbortError")));
            }});
            window.fetch = (url, options) =>
                url === "/api/chat/stream" ? Promise.resolve(new Response(held(options.signal))) : real(url, options);
        }""",
        events(*values),
    )


def stepwise_answer(page: Any) -> Callable[[str], None]:
    """Lets chats be answered piece by piece; returns what says the next one."""
    page.evaluate(
        """() => {
            const real = window.fetch;
            const body = () => new ReadableStream({start: (to) => {
                window.say = (event) => to.enqueue(new TextEncoder().encode(event));
            }});
            window.fetch = (url, options) =>
                url === "/api/chat/stream" ? Promise.resolve(new Response(body())) : real(url, options);
        }"""
    )
    say = """async (event) => {
        while (!window.say) await new Promise((resolve) => setTimeout(resolve, 10));
        window.say(event);
    }"""
    return lambda text: page.evaluate(say, events({"delta": {"content": text}}))


def problem(code: int, message: str, reason: str, **metadata: str) -> str:
    """Returns an error of REST."""
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}
    return json.dumps({"code": code, "message": message, "details": [info]})
