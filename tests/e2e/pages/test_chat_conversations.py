"""Conversations that are kept on the browser's machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import MARKS, Answers, answer, ask, expect, tab
from tests.e2e.service import RunningService

pytestmark = MARKS


@pytest.fixture
def two(page: Any) -> Any:
    """The page with two conversations."""
    answers = Answers(page)
    answers.say("Whales.", "Bread.")
    ask(page, "About the sea?")
    answer(page)
    page.get_by_role("button", name="New chat").click()
    ask(page, "About food?")
    answer(page)
    return page


def titles(page: Any) -> Any:
    return page.locator("#conversations a")


def act(page: Any, title: str, action: str) -> None:
    page.get_by_role("button", name=f"Actions for {title}").click()
    page.locator(".row-actions").get_by_role("button", name=action, exact=True).click()


def test_conversations_are_listed_and_opened(two: Any) -> None:
    """The last one first; an address leads to each, and the browser's way back does."""
    expect(titles(two)).to_have_text(["About food?", "About the sea?"])
    two.get_by_role("link", name="About the sea?").click()
    expect(two.locator(".assistant .text")).to_have_text("Whales.")
    two.reload()
    expect(two.locator(".assistant .text")).to_have_text("Whales.")
    two.go_back()
    expect(two.locator(".assistant .text")).to_have_text("Bread.")


def test_search_finds_what_was_said(two: Any) -> None:
    """In titles, questions and answers."""
    two.keyboard.press("Control+k")
    two.keyboard.type("WHALE")
    expect(titles(two)).to_have_text(["About the sea?"])
    two.get_by_label("Search conversations").fill("nothing of that")
    expect(two.get_by_text("Nothing found.")).to_be_visible()


def test_conversation_is_renamed(two: Any) -> None:
    """In its place, for good."""
    act(two, "About food?", "Rename")
    two.keyboard.type("Kitchen")
    two.keyboard.press("Enter")
    expect(titles(two).first).to_have_text("Kitchen")
    two.reload()
    expect(titles(two).first).to_have_text("Kitchen")
    expect(two).to_have_title("Kitchen – llm-inference-api")


def test_deleted_conversation_can_be_had_back(two: Any) -> None:
    """By the notice that says so; without it, it stays away."""
    act(two, "About food?", "Delete")
    expect(titles(two)).to_have_text(["About the sea?"])
    two.get_by_role("button", name="Undo").click()
    expect(titles(two)).to_have_count(2)
    act(two, "About food?", "Delete")
    expect(titles(two)).to_have_text(["About the sea?"])
    two.reload()
    expect(titles(two)).to_have_text(["About the sea?"])


def exported(page: Any, press: Any) -> Path:
    with page.expect_download() as download:
        press()
    return Path(download.value.path())


@pytest.mark.parametrize("kind", ["JSON", "Markdown"])
def test_conversation_comes_back_from_its_file(two: Any, kind: str, tmp_path: Path) -> None:
    """The export of one browser is the import of another."""
    file = exported(two, lambda: act(two, "About the sea?", kind))
    copy = tmp_path / f"sea.{'json' if kind == 'JSON' else 'md'}"
    copy.write_text(file.read_text())
    act(two, "About the sea?", "Delete")
    two.locator("#import-file").set_input_files(copy)
    expect(two.locator(".notice").last).to_contain_text("1 conversation was imported")
    two.get_by_role("link", name="About the sea?").click()
    expect(two.locator(".user .text")).to_have_text("About the sea?")
    expect(two.locator(".assistant .text")).to_have_text("Whales.")


def test_all_conversations_are_exported(two: Any) -> None:
    """As one file."""
    file = exported(two, two.get_by_role("button", name="Export all").click)
    found = json.loads(file.read_text())["conversations"]
    assert {conversation["title"] for conversation in found} == {"About food?", "About the sea?"}
    assert [len(conversation["messages"]) for conversation in found] == [2, 2]


@pytest.mark.parametrize("text", ["{}", "Hello", '{"format": "other", "conversations": []}'])
def test_file_of_something_else_is_refused(page: Any, text: str, tmp_path: Path) -> None:
    """With a word about it."""
    file = tmp_path / "other.json"
    file.write_text(text)
    page.locator("#import-file").set_input_files(file)
    expect(page.locator(".notice")).to_contain_text("has no conversations of this page")


def test_drafts_are_kept(two: Any) -> None:
    """One for each conversation, and one for a new chat."""
    two.get_by_label("Message").fill("to be said")
    two.get_by_role("link", name="About the sea?").click()
    expect(two.get_by_label("Message")).to_have_value("")
    two.get_by_role("button", name="New chat").click()
    two.get_by_label("Message").fill("something new")
    two.get_by_role("link", name="About food?").click()
    expect(two.get_by_label("Message")).to_have_value("to be said")
    two.get_by_role("button", name="New chat").click()
    expect(two.get_by_label("Message")).to_have_value("something new")
    two.reload()
    expect(two.get_by_label("Message")).to_have_value("something new")


def test_tabs_know_of_each_other(two: Any) -> None:
    """What is said in one is in the list and the view of the other."""
    other = two.context.new_page()
    other.goto(two.url)
    expect(other.locator(".assistant .text")).to_have_text("Bread.")
    Answers(other).say("Cheese.")
    ask(other, "What else?")
    answer(other)
    expect(two.locator(".assistant .text").last).to_have_text("Cheese.")
    act(other, "About food?", "Delete")
    expect(titles(two)).to_have_text(["About the sea?"])
    expect(two.locator(".turn")).to_have_count(0)


def test_browser_that_keeps_nothing_is_said_to(browser: Any, demo: RunningService) -> None:
    """The page works there too, for as long as the tab is open."""
    with tab(browser, demo.url) as page:
        page.add_init_script("IDBFactory.prototype.open = () => { throw new DOMException('', 'SecurityError'); }")
        page.goto("/")
        expect(page.locator(".notice")).to_contain_text("conversations end with the tab")
        Answers(page).say("Whales.")
        ask(page, "About the sea?")
        answer(page)
        page.get_by_role("button", name="New chat").click()
        page.get_by_role("link", name="About the sea?").click()
        expect(page.locator(".assistant .text")).to_have_text("Whales.")


def test_answer_goes_on_while_another_conversation_is_shown(two: Any, demo: Any) -> None:
    """It is complete when one comes back."""
    two.unroute("**/api/chat/stream")
    ask(two, "What is 2+2?")
    two.get_by_role("link", name="About the sea?").click()
    expect(two.locator(".turn")).to_have_count(2)
    two.get_by_role("link", name="About food?").click()
    assert answer(two).inner_text()


def test_answer_whose_tab_was_closed_is_marked(page: Any) -> None:
    """It does not look as if it were still being written."""
    page.route("**/api/chat/stream", lambda route: None)  # It never answers.
    ask(page, "hello")
    expect(page.locator(".waiting")).to_be_visible()
    page.reload()
    expect(page.locator(".assistant .mark:visible")).to_contain_text("The page was closed while this was written")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
