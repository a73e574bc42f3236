"""The chat page, as a person uses it: asking, stopping, going on."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import MARKS, Answers, answer, ask, events, expect, hold_answer, said, seen, stepwise_answer, tab
from tests.e2e.service import RunningService

pytestmark = MARKS


@pytest.fixture
def answers(page: Any) -> Answers:
    """What the model answers."""
    return Answers(page)


@pytest.fixture
def several(browser: Any, service: RunningService) -> Iterator[Any]:
    """The page of a service with several models, some of them broken."""
    service.wait_until_idle()
    with tab(browser, service.url) as page:
        page.goto("/")
        choose(page, "tiny")
        yield page


def choose(page: Any, model: str) -> None:
    page.get_by_role("button", name="Model:").click()
    page.locator(f'.model[data-id="{model}"] .choose').click()


def endless(page: Any, tokens: int) -> None:
    """Lets chats ask for this many tokens, which the page has no field for."""
    page.route(
        "**/api/chat/stream",
        lambda route: route.continue_(
            post_data={**route.request.post_data_json, "ignore_eos": True, "max_tokens": tokens}
        ),
    )


def test_answer_is_shown_as_it_comes(several: Any) -> None:
    """The answer grows before the eyes, and that it was cut is announced."""
    endless(several, 1500)
    ask(several, "Tell me a long story.")
    whole = answer(several).inner_text()
    lengths = [len(text) for text in seen(several, "answer") if text]
    assert len(lengths) > 1
    assert lengths[0] < len(whole) / 2
    expect(several.locator("#announcer")).to_contain_text("reached its longest length")


def test_next_turn_knows_the_earlier_ones(page: Any) -> None:
    """The whole conversation is sent, also after the page was loaded again; a new chat has none of it."""
    ask(page, "My name is Ana.")
    answer(page)
    page.reload()
    ask(page, "What is my name?")
    assert "Ana" in answer(page).inner_text()
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)
    expect(page.get_by_label("Message")).to_be_focused()


def test_stop_ends_the_answer_on_the_server_too(several: Any, service: RunningService) -> None:
    """What was said stays, marked, and the model is free for others."""
    endless(several, 1900)
    several.evaluate("window.stopAt = 10")
    ask(several, "Talk without end.")
    expect(several.locator(".assistant .mark:visible")).to_contain_text("Stopped.")
    assert answer(several).inner_text()
    service.wait_for_metric("requests_running", 0)
    expect(several.get_by_label("Message")).to_be_focused()
    several.reload()
    expect(several.locator(".assistant .mark:visible")).to_contain_text("Stopped.")
    expect(several.get_by_role("button", name="Continue")).to_be_visible()


def test_question_without_an_answer_is_marked_and_not_sent_again(page: Any, answers: Answers) -> None:
    """What is sent is what is seen, and the roles alternate; asked again, it is sent."""
    answers.add('{"code": 13, "message": "no"}', 500)
    answers.say("Hello.", "Paris.")
    ask(page, "What is the capital of France?")
    expect(page.locator(".assistant .mark:visible")).to_contain_text("no")
    ask(page, "Hi!")
    answer(page)
    assert answers.contents() == ["Hi!"]
    expect(page.locator(".user .mark:visible")).to_contain_text("not sent again")
    page.get_by_role("button", name="Ask again").click()
    answer(page)
    assert answers.contents() == ["What is the capital of France?"]


def test_question_stopped_before_its_first_word_is_not_sent_again(page: Any, answers: Answers) -> None:
    """Neither is it after the page was loaded again."""
    answers.add(events({"progress": {"stage": "QUEUED"}}, {"error": {"code": 1, "message": "gone"}}))
    answers.say("Hello.")
    ask(page, "Lost?")
    answer(page)
    page.reload()
    expect(page.locator(".assistant .mark:visible")).to_contain_text("gone")
    ask(page, "Hi!")
    answer(page)
    assert answers.contents() == ["Hi!"]


def test_roles_alternate_whatever_happened_before(page: Any, answers: Answers) -> None:
    """Three questions that fail, and two that do not."""
    answers.say("One.")
    for _ in range(3):
        answers.add('{"code": 13, "message": "no"}', 500)
    answers.say("Five.")
    for text in ("1?", "2?", "3?", "4?", "5?"):
        ask(page, text)
        answer(page)
    assert answers.contents() == ["1?", "One.", "5?"]
    assert answers.roles() == ["user", "assistant", "user"]


def test_cut_answer_is_marked_and_goes_on(page: Any, answers: Answers) -> None:
    """The mark lasts; "Continue" has the model write on at the same place."""
    answers.add(said("The first half", "LENGTH"))
    answers.say(" and the second.")
    ask(page, "Both halves, please.")
    answer(page)
    expect(page.locator(".assistant .mark:visible")).to_contain_text("Cut off at its longest length, 512 tokens")
    page.reload()
    page.get_by_role("button", name="Continue").click()
    expect(answer(page)).to_have_text("The first half and the second.")
    assert answers.contents() == ["Both halves, please.", "The first half"]
    expect(page.locator(".mark:visible")).to_have_count(0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (events({"delta": {"content": "Half"}}, {"error": {"code": 13, "message": "it died"}}), "it died"),
        (events({"delta": {"content": "Half"}}), "The connection was lost"),
    ],
)
def test_answer_that_breaks_off_keeps_what_was_said(page: Any, answers: Answers, body: str, words: str) -> None:
    """An error event, or an end without a reason, is a mark beside the text so far, and lasts."""
    answers.add(body)
    ask(page, "hello")
    answer(page)
    expect(page.locator(".assistant .mark:visible")).to_contain_text(words)
    page.reload()
    expect(page.locator(".assistant .text")).to_have_text("Half")
    expect(page.locator(".assistant .mark:visible")).to_contain_text(words)
    expect(page.get_by_role("button", name="Continue")).to_be_visible()


def test_question_can_be_asked_otherwise(page: Any, answers: Answers) -> None:
    """The edited question begins a branch; both are there, and the shown one is sent."""
    answers.say("A.", "B.", "C.")
    ask(page, "First?")
    answer(page)
    page.locator(".user").hover()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Edit the question").fill("Second?")
    page.keyboard.press("Enter")
    expect(answer(page)).to_have_text("B.")
    expect(page.locator(".user .place")).to_have_text("2 of 2")
    page.locator(".user").get_by_role("button", name="Version before").click()
    expect(page.locator(".assistant .text")).to_have_text("A.")
    ask(page, "And now?")
    answer(page)
    assert answers.contents() == ["First?", "A.", "And now?"]


def test_any_answer_can_be_given_again(page: Any, answers: Answers) -> None:
    """Not the last one only; what followed stays on its branch, also after the page was loaded again."""
    answers.say("A.", "B.", "A2.")
    ask(page, "1?")
    answer(page)
    ask(page, "2?")
    answer(page)
    page.get_by_role("button", name="Answer again").first.click()
    expect(answer(page)).to_have_text("A2.")
    assert answers.contents() == ["1?"]
    expect(page.locator(".turn")).to_have_count(2)
    page.reload()
    page.get_by_role("button", name="Version before").click()
    expect(page.locator(".turn")).to_have_count(4)
    expect(page.locator(".assistant .text").last).to_have_text("B.")


def test_last_question_is_edited_by_the_arrow_up(page: Any, answers: Answers) -> None:
    """In the empty field; Esc leaves it as it was."""
    answers.say("A.")
    ask(page, "First?")
    answer(page)
    page.get_by_label("Message").press("ArrowUp")
    expect(page.get_by_label("Edit the question")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".user .text")).to_have_text("First?")


def test_figures_of_an_answer_are_shown_and_last(page: Any, answers: Answers) -> None:
    """Tokens, their speed, the time to the first, those from the cache, and how full the context is."""
    answers.say("Yes.")
    ask(page, "Figures?")
    answer(page)
    page.reload()
    for words in ("20 tokens", "41.5 per second", "first after", "64 cached"):
        expect(page.locator(".figures")).to_contain_text(words)
    expect(page.locator("#context")).to_contain_text("120 of")
    assert page.locator("#gauge").evaluate("gauge => gauge.value") > 0


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        ({"stage": "LOADING"}, "The model is being loaded…"),
        ({"stage": "QUEUED", "requests_ahead": 2}, "2 requests before yours…"),
        ({"stage": "PREFILL", "prompt_tokens": 200, "computed_tokens": 50}, "Reading: 25 %"),
    ],
)
def test_where_an_answer_stands_is_said_in_words(page: Any, progress: dict[str, Any], words: str) -> None:
    """Loading, the queue and the prompt's computation are shown while there is no text."""
    hold_answer(page, {"progress": progress})
    ask(page, "Are you there?")
    expect(page.locator(".waiting")).to_have_text(words)
    page.keyboard.press("Escape")
    expect(page.locator(".mark:visible")).to_contain_text("Stopped before an answer came")


def test_thinking_is_said_while_it_goes_on(page: Any) -> None:
    """The thoughts can be read meanwhile."""
    hold_answer(page, {"delta": {"reasoning_content": "Let me see."}})
    ask(page, "2+2?")
    expect(page.locator(".thoughts summary")).to_have_text("Thinking…")
    page.locator(".thoughts summary").click()
    expect(page.get_by_text("Let me see.")).to_be_visible()


def test_thoughts_are_folded_and_last(page: Any, answers: Answers) -> None:
    """With the time that they took; they are not sent again."""
    thought = events({"delta": {"reasoning_content": "Let me see."}})
    answers.add(thought + said("It is 4."))
    answers.say("Yes.")
    ask(page, "2+2?")
    answer(page)
    page.reload()
    summary = page.locator(".thoughts summary")
    expect(summary).to_contain_text("Thought for")
    expect(page.get_by_text("Let me see.")).to_be_hidden()
    summary.click()
    expect(page.get_by_text("Let me see.")).to_be_visible()
    ask(page, "Sure?")
    answer(page)
    assert answers.contents() == ["2+2?", "It is 4.", "Sure?"]
    assert "reasoning_content" not in answers.asked[-1]["messages"][1]


def test_calls_of_tools_are_shown_and_answered(page: Any, answers: Answers) -> None:
    """Tools come from the settings, calls have a field for their result, and the answer follows."""
    call = {"index": 0, "id": "c1", "name": "weather", "arguments": '{"city":'}
    answers.add(
        events({"delta": {"tool_call": call}}, {"delta": {"tool_call": {"index": 0, "arguments": '"Bonn"}'}}})
        + said("", "TOOL_CALLS")
    )
    answers.say("It rains.")
    page.get_by_role("button", name="Settings").click()
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Tools").fill('[{"name": "weather", "parameters": {"type": "object"}}]')
    page.get_by_role("button", name="Done").click()
    ask(page, "Weather in Bonn?")
    expect(page.locator(".call")).to_contain_text("Calls weather")
    expect(page.locator(".call pre")).to_have_text('{\n  "city": "Bonn"\n}')
    assert answers.asked[-1]["tools"] == [{"name": "weather", "description": "", "parameters": '{"type":"object"}'}]
    page.get_by_label("Result of weather").fill("rain")
    page.get_by_role("button", name="Send the results").click()
    expect(answer(page)).to_have_text("It rains.")
    assert answers.roles() == ["user", "assistant", "tool"]
    assert answers.asked[-1]["messages"][2]["tool_call_id"] == "c1"


def test_file_dropped_into_the_page_stands_in_the_field(page: Any, answers: Answers) -> None:
    """As text, which is seen before it is sent; what is no text is refused."""
    drop = """(files) => {
        const data = new DataTransfer();
        for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
        dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
    }"""
    page.locator("body[data-ready]").wait_for()
    page.evaluate(drop, [["notes.py", list(b"print(1)\n")], ["photo.png", [0x89, 0x50, 0, 1, 0xFF]]])
    expect(page.get_by_label("Message")).to_have_value("notes.py:\n```py\nprint(1)\n```\n")
    expect(page.locator(".notice")).to_contain_text("photo.png is no text")
    answers.say("I see.")
    page.get_by_role("button", name="Send").click()
    answer(page)
    assert answers.contents() == ["notes.py:\n```py\nprint(1)\n```"]


def test_files_are_attached_and_pasted_too(page: Any) -> None:
    """By the button beside the field, and from the clipboard; text that is there stays before them."""
    page.get_by_label("Message").fill("Look:")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach a text file").click()
    chooser.value.set_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"one"})
    expect(page.get_by_label("Message")).to_have_value("Look:\n\na.txt:\n```txt\none\n```\n")
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File(["a ``` b"], "b.md"));
            const paste = new ClipboardEvent("paste", {clipboardData: data, cancelable: true, bubbles: true});
            document.getElementById("prompt").dispatchEvent(paste);
        }"""
    )
    field = page.get_by_label("Message")
    expect(field).to_have_value("Look:\n\na.txt:\n```txt\none\n```\n\nb.md:\n````md\na ``` b\n````\n")


def test_view_follows_the_answer_unless_one_looks_back(page: Any) -> None:
    """A button leads to the end again, from where it follows."""
    more = stepwise_answer(page)
    at_end = "(main) => main.scrollHeight - main.scrollTop - main.clientHeight < 2"
    main = page.locator("main")
    ask(page, "Tell me.")
    for _ in range(3):
        more("A paragraph.\n\n" * 20)
        expect(page.locator(".assistant .text p").last).to_be_in_viewport()
        assert main.evaluate(at_end)
    page.mouse.move(600, 300)
    page.mouse.wheel(0, -400)
    expect(page.get_by_role("button", name="To the end")).to_be_visible()
    place = main.evaluate("(main) => main.scrollTop")
    more("The last one.")
    expect(page.get_by_text("The last one.")).to_be_attached()
    assert main.evaluate("(main) => main.scrollTop") == place
    page.get_by_role("button", name="To the end").click()
    expect(page.get_by_text("The last one.")).to_be_in_viewport()
    more("\n\nAnd more." * 20)
    expect(page.locator(".assistant .text p").last).to_be_in_viewport()


def test_copies_are_what_was_written(browser: Any, demo: RunningService) -> None:
    """Of answers, questions and blocks of code, also where the browser has no clipboard for scripts."""
    with tab(browser, demo.url, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto("/")
        answers = Answers(page)
        answers.say("Some **code**:\n\n1. here\n   ```py\n   if x:\n       y()\n   ```")
        ask(page, "Question?")
        answer(page)
        clipboard = "navigator.clipboard.readText()"
        page.locator(".assistant footer").get_by_role("button", name="Copy").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate(clipboard).startswith("Some **code**:")
        page.locator("figure").get_by_role("button", name="Copy").click()
        expect(page.locator("figure").get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate(clipboard) == "if x:\n    y()"
        page.evaluate("() => void (navigator.clipboard.writeText = () => Promise.reject())")
        page.locator(".user").hover()
        page.locator(".user").get_by_role("button", name="Copy").click()
        expect(page.locator(".user").get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate(clipboard) == "Question?"
