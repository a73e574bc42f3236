"""The chat page for everybody: keyboard, screen readers, small screens, languages, long conversations."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import (
    DESKTOP,
    MARKS,
    PHONE,
    Answers,
    answer,
    ask,
    events,
    expect,
    hold_answer,
    problem,
    said,
    tab,
)
from tests.e2e.service import RunningService

pytestmark = MARKS

NARROW = {"width": 320, "height": 640}
RICH = "# T\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx = 1\n```\n\n- [x] [link](https://a.example/)\n\n$a^2$"
CALL = {"delta": {"tool_call": {"index": 0, "id": "c", "name": "f", "arguments": "{}"}}}


def violations(page: Any) -> list[str]:
    """Returns what axe-core finds wrong with the page as it is."""
    pytest.importorskip("axe_playwright_python", reason="the extra `browser` is not installed")
    page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("axe.run(document).then(({violations}) => violations)")
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_axe(browser: Any, demo: RunningService, scheme: str) -> None:
    """Welcome, answers of all kinds, marks, errors, lists, dialogs; light and dark."""
    with tab(browser, demo.url, color_scheme=scheme, reduced_motion="reduce") as page:
        page.goto("/")
        expect(page.locator("#model-state")).to_have_text("ready")
        assert violations(page) == []
        answers = Answers(page)
        answers.add(events({"delta": {"reasoning_content": "Hm."}}) + said(RICH, "LENGTH"))
        answers.add('{"code": 13, "message": "no"}', 500)
        answers.add(events(CALL) + said("", "TOOL_CALLS"))
        for text in ("1?", "2?\n" * 40, "3?"):
            ask(page, text)
            answer(page)
        page.locator(".thoughts summary").click()
        expect(page.locator("math")).to_have_count(1)
        expect(page.locator(".hljs-number")).to_have_count(1)
        page.get_by_role("button", name="Actions for 1?").click()
        assert violations(page) == []
        page.locator(".row-actions").get_by_role("button", name="Delete").click()
        for name, title in (("Settings", "Settings"), ("Model:", "Models"), ("Keys", "Keys")):
            page.get_by_role("button", name=name).click()
            dialog = page.get_by_role("dialog", name=title)
            if name == "Settings":
                page.get_by_text("More", exact=True).click()
                expect(page.get_by_label("Min p")).to_be_visible()
            expect(dialog).to_be_visible()
            assert violations(page) == []
            page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_axe_on_the_smallest_phone(browser: Any, demo: RunningService, scheme: str) -> None:
    """320 pixels wide: welcome, a conversation, the list over it, dialogs, and the notice of a deletion."""
    with tab(browser, demo.url, viewport=NARROW, color_scheme=scheme, reduced_motion="reduce") as page:
        page.goto("/")
        expect(page.locator("#model-state")).to_have_text("ready")
        assert violations(page) == []
        Answers(page).add(events({"delta": {"reasoning_content": "Hm."}}) + said(RICH, "LENGTH"))
        ask(page, "1?")
        answer(page)
        expect(page.locator(".hljs-number")).to_have_count(1)
        assert violations(page) == []
        for name in ("Settings", "Model:"):
            page.get_by_role("button", name=name).click()
            assert violations(page) == []
            page.keyboard.press("Escape")
        page.get_by_role("button", name="Conversations").click()
        page.get_by_role("button", name="Actions for 1?").click()
        assert violations(page) == []
        page.locator(".row-actions").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_axe_while_one_waits(browser: Any, demo: RunningService, scheme: str) -> None:
    """A model that is downloaded, an answer that is thought about, a service that is busy, and one that is away."""
    with tab(browser, demo.url, color_scheme=scheme, reduced_motion="reduce") as page:
        progress = {"done": 1, "total": 4, "unit": "BYTES"}
        models = {"models": [{"id": "demo", "state": "DOWNLOADING", "progress": progress}]}
        page.route("**/api/llms/demo:watch", lambda route: route.abort())
        page.route("**/api/llms", lambda route: route.fulfill(body=json.dumps(models)))
        page.goto("/")
        expect(page.get_by_role("progressbar", name="Progress of the model")).to_be_visible()
        Answers(page).add(problem(8, "x", "OVERLOADED"), 429, **{"retry-after": "500"})
        ask(page, "1?")
        expect(page.get_by_role("button", name="Try now")).to_be_visible()
        assert violations(page) == []
        page.get_by_role("button", name="Stop").click()
        hold_answer(page, {"delta": {"reasoning_content": "Let me see."}})
        ask(page, "2?")
        expect(page.locator(".thoughts summary")).to_have_text("Thinking…")
        page.route("**/health/ready", lambda route: route.abort())
        expect(page.locator("#model-state")).to_have_text("not reached, trying again")
        assert violations(page) == []
        page.get_by_role("button", name="Model:").click()
        expect(page.get_by_role("progressbar", name="Progress of demo")).to_be_visible()
        assert violations(page) == []


@pytest.mark.parametrize("path", ["/", "/status", "/swagger-ui"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_axe_where_a_key_is_asked_for(
    browser: Any, demo: RunningService, path: str, scheme: str
) -> None:
    """On each page; then the page says why it has nothing to show."""
    with tab(browser, demo.url, color_scheme=scheme) as page:
        for guarded in ("**/api/llms", "**/openapi.json"):
            page.route(guarded, lambda route: route.fulfill(status=401, body="{}"))
        page.goto(path)
        expect(page.get_by_role("dialog", name="API key")).to_be_visible()
        assert violations(page) == []
        page.get_by_role("button", name="Cancel").click()
        said = page.locator("#model-state") if path == "/" else page.locator("#problem")
        expect(said).to_have_text("no list of models" if path == "/" else "The service asks for an API key.")
        assert violations(page) == []


@pytest.mark.parametrize("viewport", [DESKTOP, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_with_the_status_page_for_axe(
    browser: Any, demo: RunningService, viewport: dict[str, int], scheme: str
) -> None:
    """With its charts and table, and while the service is away; nothing is cut off at the side."""
    with tab(browser, demo.url, viewport=viewport, color_scheme=scheme) as page:
        page.goto("/status")
        expect(page.locator("#models tr")).to_have_count(1)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        page.route("**/metrics", lambda route: route.abort())
        expect(page.get_by_role("alert")).to_have_text("The service cannot be reached.")
        assert violations(page) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("viewport", [DESKTOP, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_with_swagger_ui_for_axe(
    browser: Any, demo: RunningService, viewport: dict[str, int], scheme: str
) -> None:
    """The list of operations, and one with its form, its response and its samples of code."""
    with tab(browser, demo.url, viewport=viewport, color_scheme=scheme) as page:
        page.goto("/swagger-ui")
        expect(page.locator(".opblock").first).to_be_visible()
        assert violations(page) == []
        block = page.locator("#operations-Generate-Generate")
        block.locator(".opblock-summary-control").first.click()
        block.get_by_role("button", name="Execute").click()
        expect(block.locator(".live-responses-table .response .response-col_status")).to_contain_text("200")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


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
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.id") == "open-settings":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_label("System prompt")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Settings")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Message")).to_be_focused()
    page.keyboard.press("Control+Shift+O")
    expect(page.locator(".turn")).to_have_count(0)


def test_screen_readers_hear_the_answer_once(page: Any) -> None:
    """When it is complete, in a region of its own that nobody sees."""
    Answers(page).say("It is 4.")
    ask(page, "2+2?")
    answer(page)
    announcer = page.get_by_role("status").filter(has_text="The answer is complete. It is 4.")
    expect(announcer).to_have_count(1)
    assert announcer.bounding_box()["width"] <= 1
    assert page.locator("main [aria-live], main [role=log], main [role=alert]").count() == 0


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_the_screen_and_the_colours_of_the_system(
    browser: Any, demo: RunningService, viewport: dict[str, int], scheme: str
) -> None:
    """Nothing is cut off at the side, all controls are on the screen, and dark is dark."""
    with tab(browser, demo.url, viewport=viewport, color_scheme=scheme) as page:
        page.goto("/")
        Answers(page).say(RICH + "\n\n" + "long" * 60)
        ask(page, "Write a haiku about coding.")
        answer(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert page.evaluate("document.querySelector('main').scrollWidth") <= viewport["width"]
        for name in ("Send", "New chat", "Settings", "Model:"):
            expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        lightness = max(map(int, background.removeprefix("rgb(").removesuffix(")").split(",")))
        assert (lightness > 200) == (scheme == "light")


def test_list_opens_over_the_page_on_a_phone(browser: Any, demo: RunningService) -> None:
    """And closes by its button, by Esc, and when a conversation is chosen."""
    with tab(browser, demo.url, viewport=PHONE) as page:
        page.goto("/")
        Answers(page).say("Hello.")
        ask(page, "Hi!")
        answer(page)
        link = page.get_by_role("link", name="Hi!")
        expect(link).to_be_hidden()
        page.get_by_role("button", name="Conversations").click()
        expect(link).to_be_in_viewport()
        page.keyboard.press("Escape")
        expect(link).to_be_hidden()
        page.get_by_role("button", name="Conversations").click()
        link.click()
        expect(link).to_be_hidden()


def test_words_are_german_where_the_browser_is(browser: Any, demo: RunningService) -> None:
    """Those of the page; the model's stay."""
    with tab(browser, demo.url, locale="de-DE") as page:
        page.goto("/")
        Answers(page).say("It is 4.")
        page.get_by_label("Nachricht").fill("2+2?")
        page.get_by_role("button", name="Senden").click()
        expect(page.locator(".assistant .text")).to_have_text("It is 4.")
        expect(page.get_by_role("button", name="Neu antworten")).to_be_visible()
        expect(page.locator("#model-state")).to_have_text("bereit")
        expect(page.locator("html")).to_have_attribute("lang", "de")


def conversation(turns: int) -> str:
    """Returns a file with a conversation of this many turns."""
    messages = [
        {
            "id": str(index),
            "parent": str(index - 1) if index else None,
            "created": index,
            "role": "assistant" if index % 2 else "user",
            "content": f"{RICH}\n\nAnswer {index}." if index % 2 else f"Question {index}?",
            "end": "whole",
        }
        for index in range(turns)
    ]
    record = {"title": "Long", "leaf": str(turns - 1), "messages": messages}
    return json.dumps({"format": "llm-inference-api/conversations/1", "conversations": [record]})


def longest_task(page: Any, browser: Any, run: Any) -> float:
    """Returns the most processor time, in milliseconds, that a task of the page's thread took meanwhile."""
    browser.start_tracing(
        page=page, categories=["disabled-by-default-devtools.timeline", "devtools.timeline", "toplevel"]
    )
    run()
    trace = json.loads(browser.stop_tracing())["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in trace if e.get("name") == "thread_name"}
    tasks = [
        e["tdur"] / 1000
        for e in trace
        if e.get("ph") == "X"
        and "tdur" in e
        and e["name"].endswith("RunTask")
        and names.get((e["pid"], e["tid"])) == "CrRendererMain"
    ]
    assert len(tasks) > 20
    return max(tasks)


# Answers chats with a text, in pieces, as fast as the page takes them.
STREAMED = """(text) => {
    const real = window.fetch;
    const streamed = () => new ReadableStream({
        async start(controller) {
            const encoder = new TextEncoder();
            const send = (event) => controller.enqueue(encoder.encode(`data: ${JSON.stringify(event)}\\n\\n`));
            for (let at = 0; at < text.length; at += 150) {
                send({delta: {content: text.slice(at, at + 150)}});
                await new Promise((resolve) => setTimeout(resolve, 5));
            }
            send({delta: {}, finish_reason: "STOP"});
            controller.close();
        },
    });
    window.fetch = (url, options) =>
        url === "/api/chat/stream" ? Promise.resolve(new Response(streamed())) : real(url, options);
}"""
# Without the browser's driver, whose own scripts take longer on such a page than the page itself.
WALK = """async () => {
    const until = async (holds) => { while (!holds()) await new Promise((resolve) => setTimeout(resolve, 50)); };
    document.querySelector("#conversations a").click();
    await until(() => document.querySelectorAll(".turn").length === 500);
    document.getElementById("prompt").value = "Go on.";
    document.getElementById("prompt").dispatchEvent(new Event("input"));
    document.getElementById("send").click();
    await until(() => !document.getElementById("stop").hidden);
    await until(() => document.getElementById("stop").hidden);
}"""


@pytest.mark.timeout(600)
def test_long_answer_and_conversation_stay_smooth(browser: Any, demo: RunningService, tmp_path: Path) -> None:
    """500 turns, and an answer of 60,000 characters that streams: no task of the page takes 100 ms."""
    file = tmp_path / "long.json"
    file.write_text(conversation(500))
    text = (RICH + "\n\nSome words of an answer, and `code` in it.\n\n") * 500
    assert len(text) > 60_000
    with tab(browser, demo.url, is_watched=False) as page:
        page.goto("/")
        page.locator("#import-file").set_input_files(file)
        expect(page.get_by_role("link", name="Long")).to_be_visible()
        page.evaluate(STREAMED, text)
        page.context.set_default_timeout(0)
        assert longest_task(page, browser, lambda: page.evaluate(WALK)) < 100
        said = page.evaluate("document.querySelectorAll('.assistant .text')[250].textContent")
        assert said.count("Some words of an answer, and code in it.") == 500
