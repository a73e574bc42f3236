"""The chat page, as a person uses it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.browser import DESKTOP, MARKS, PHONE, answer, ask, chromium, expect, seen, tab
from tests.e2e.secured import run_secured
from tests.e2e.service import RunningService

pytestmark = MARKS

KEY = "key-of-ann-0123456789"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, demo: RunningService) -> Iterator[Any]:
    """The page of a service with one model."""
    with tab(browser, demo.url) as page:
        page.goto("/")
        yield page


@pytest.fixture
def several(browser: Any, service: RunningService) -> Iterator[Any]:
    """The page of a service with several models, some of them broken."""
    with tab(browser, service.url) as page:
        page.goto("/")
        expect(page.get_by_label("Model").locator("option")).to_have_count(8)
        yield page


def events(*values: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(value)}\n\n" for value in values)


def answer_with(page: Any, body: str, status: int = 200) -> None:
    """Lets chats be answered with this body, whatever the model says."""
    kind = "text/event-stream" if status == 200 else "application/json"
    page.route("**/api/chat/stream", lambda route: route.fulfill(status=status, content_type=kind, body=body))


def change_requests(page: Any, **fields: Any) -> None:
    """Lets chats ask for what the page has no field for."""
    page.route(
        "**/api/chat/stream",
        lambda route: route.continue_(post_data=json.dumps({**route.request.post_data_json, **fields})),
    )


def test_answer_is_shown_as_it_comes(several: Any) -> None:
    """The answer grows before the eyes, and is announced when it is whole."""
    several.get_by_label("Model").select_option("tiny")
    change_requests(several, ignore_eos=True, max_tokens=1500)
    ask(several, "Tell me a long story.")
    whole = answer(several).inner_text()
    lengths = [len(text) for text in seen(several, "answer") if text]
    assert len(lengths) > 3
    assert lengths[0] < len(whole) / 2
    assert "The answer reached its longest length and was cut." in seen(several, "status")


def test_end_of_an_answer_is_announced(page: Any) -> None:
    """Readers of screens hear that the answer is complete."""
    ask(page, "What is 2+2?")
    answer(page)
    assert "The answer is complete." in seen(page, "status")


def test_next_turn_knows_the_earlier_ones(page: Any) -> None:
    """The whole conversation is sent, also after the page was loaded again; a new chat forgets it."""
    ask(page, "My name is Ana.")
    answer(page)
    page.reload()
    ask(page, "What is my name?")
    assert "Ana" in answer(page).inner_text()
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Message")).to_be_focused()


def test_stop_ends_the_answer_on_the_server_too(several: Any, service: RunningService) -> None:
    """What was said stays, and the model is free for others."""
    several.get_by_label("Model").select_option("tiny")
    change_requests(several, ignore_eos=True, max_tokens=1900)
    several.evaluate("window.stopAt = 10")
    ask(several, "Talk without end.")
    expect(several.get_by_role("status")).to_have_text("Stopped.")
    assert answer(several).inner_text()
    service.wait_for_metric("requests_running", 0)
    expect(several.get_by_label("Message")).to_be_focused()


def test_all_models_can_be_chosen_and_say_their_state(several: Any, service: RunningService) -> None:
    """The list is that of the settings; a model that is not in memory is loaded when it is asked."""
    options = several.get_by_label("Model").locator("option")
    broken = ("missing.gguf", "empty.gguf", "truncated.gguf", "garbage.gguf", "nan.gguf")
    names = ["tiny", "plain.gguf", *broken, "steady.gguf"]
    assert options.all_inner_texts() == names
    several.get_by_label("Model").select_option("tiny")
    expect(several.locator("#model-state")).to_have_text("ready")
    several.get_by_label("Model").select_option("plain.gguf")
    several.get_by_role("button", name="Settings").click()
    several.get_by_label("Max tokens").fill("3")
    several.get_by_role("button", name="Done").click()
    ask(several, "hello")
    expect(several.locator("#model-state")).to_have_text("ready")
    assert "Waiting for the model…" in seen(several, "status")
    httpx.post(f"{service.url}/api/llms/plain.gguf:unload", timeout=60)


def test_where_an_answer_stands_is_said_in_words(page: Any) -> None:
    """Loading, the queue and the prompt's computation are shown while there is no text."""
    progress = [
        {"progress": {"stage": "LOADING"}},
        {"progress": {"stage": "QUEUED", "requests_ahead": 2}},
        {"progress": {"stage": "PREFILL", "prompt_tokens": 200, "computed_tokens": 50}},
    ]
    for event, words in zip(
        progress, ("The model is being loaded…", "2 requests before yours…", "Reading: 25 %"), strict=True
    ):
        page.unroute("**/api/chat/stream")
        answer_with(page, events(event, {"delta": {"content": "Yes."}}, {"delta": {}, "finish_reason": "STOP"}))
        ask(page, "Are you there?")
        answer(page)
        assert words in seen(page, "status")


def test_error_is_shown_in_words_and_can_be_tried_again(several: Any) -> None:
    """A model that cannot be loaded says why, in the conversation."""
    several.get_by_label("Model").select_option("missing.gguf")
    ask(several, "hello")
    expect(several.get_by_role("alert")).to_contain_text("missing.gguf")
    expect(several.get_by_role("status")).to_be_empty()
    several.get_by_label("Model").select_option("tiny")
    several.get_by_role("button", name="Try again").click()
    assert answer(several).inner_text()
    expect(several.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            events({"delta": {"content": "Half"}}, {"error": {"code": 13, "message": "the model died"}}),
            "the model died",
        ),
        (events({"delta": {"content": "Half"}}), "cut off on its way"),
    ],
)
def test_answer_that_breaks_off_keeps_what_was_said(page: Any, body: str, words: str) -> None:
    """An error event, or an end without a reason, is an error beside the text so far."""
    answer_with(page, body)
    ask(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text(words)
    expect(page.locator(".assistant .text")).to_have_text("Half")


def test_service_that_is_gone_is_said_to_be(page: Any) -> None:
    """No network, no riddle."""
    page.route("**/api/**", lambda route: route.abort())
    ask(page, "hello")
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")


def test_key_is_asked_for_and_kept_in_the_tab_only(browser: Any, model_directory: Path, tmp_path: Path) -> None:
    """A service with keys leads to the field; the key goes with each request and is in no lasting storage."""
    keys = {"LLM_API_KEYS": f"ann:{KEY}", "LLM_PUBLIC_PAGES": "true"}
    with run_secured(tmp_path, model_directory, **keys) as guarded, tab(browser, guarded.url) as page:
        page.goto("/")
        expect(page.get_by_role("alert")).to_contain_text("asks for an API key")
        page.get_by_role("button", name="Enter an API key").click()
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type(KEY)
        page.get_by_role("button", name="Done").click()
        expect(page.locator("#model-state")).to_have_text("ready")
        expect(page.get_by_role("alert")).to_have_count(0)
        ask(page, "What is 2+2?")
        assert answer(page).inner_text()
        assert KEY not in page.evaluate("JSON.stringify(localStorage)")


def test_settings_are_sent(page: Any) -> None:
    """Parameters and the system prompt are part of the request; empty ones are not."""
    page.get_by_role("button", name="Settings").click()
    for label, value in {"System prompt": "Be brief.", "Temperature": "0", "Max tokens": "5", "Seed": "7"}.items():
        page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Done").click()
    with page.expect_request("**/api/chat/stream") as sent:
        ask(page, "Hello!")
    assert sent.value.post_data_json == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
        "model": "demo",
        "temperature": 0,
        "max_tokens": 5,
        "seed": 7,
    }
    answer(page)
    assert "The answer reached its longest length and was cut." in seen(page, "status")


def test_impossible_settings_are_not_taken(page: Any) -> None:
    """The browser says what is wrong, and the dialog stays."""
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Temperature").fill("3")
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_label("Temperature")).to_be_focused()


def test_text_of_the_model_never_becomes_markup(page: Any) -> None:
    """Markdown is shown as such; HTML is text."""
    said = "**Bold** `a < b`\n\n<img src=x onerror=alert(1)>\n\n1. one\n2. two\n\n```python\nprint('<b>')\n```"
    answer_with(page, events({"delta": {"content": said}}, {"delta": {}, "finish_reason": "STOP"}))
    ask(page, "hello")
    text = answer(page)
    expect(text.locator("strong")).to_have_text("Bold")
    expect(text.locator("p code")).to_have_text("a < b")
    expect(text.locator("ol li")).to_have_text(["one", "two"])
    expect(text.locator("figure pre")).to_have_text("print('<b>')")
    expect(text.locator("img, b")).to_have_count(0)
    expect(text).to_contain_text("<img src=x onerror=alert(1)>")


def test_answer_can_be_copied(browser: Any, demo: RunningService) -> None:
    """The button puts the answer into the clipboard, as the model wrote it."""
    with tab(browser, demo.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto("/")
        ask(page, "What is 2+2?")
        text = answer(page).inner_text()
        page.locator(".assistant").get_by_role("button", name="Copy").click()
        expect(page.locator(".assistant").get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == text


def test_keyboard_alone_is_enough(page: Any) -> None:
    """Type, send, stop, change a setting and come back, without a mouse."""
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(page.locator(".user .text")).to_have_text("one\ntwo", use_inner_text=True)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.id") == "open-settings":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_label("System prompt")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Settings")).to_be_focused()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_the_screen_and_the_colours_of_the_system(
    browser: Any, demo: RunningService, viewport: dict[str, int], scheme: str
) -> None:
    """Nothing is cut off at the side, all controls are on the screen, and dark is dark."""
    with tab(browser, demo.url, viewport=viewport, color_scheme=scheme) as page:
        page.goto("/")
        ask(page, "Write a haiku about coding.")
        answer(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        for name in ("Send", "New chat", "Settings"):
            expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        lightness = max(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
        assert (lightness > 200) == (scheme == "light")
