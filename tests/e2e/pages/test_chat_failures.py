"""The chat page where the service is busy, away, or wants a key."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import MARKS, Answers, answer, ask, expect, problem, seen, tab
from tests.e2e.secured import run_secured

pytestmark = MARKS

KEY = "key-of-ann-0123456789"
TOO_LONG = problem(3, "x", "CONTEXT_LENGTH_EXCEEDED", prompt_tokens="900", context_length="512")


def test_busy_service_is_asked_again_by_itself(page: Any) -> None:
    """Retry-After is counted down, in a person's words."""
    answers = Answers(page)
    answers.add(problem(8, "no slot was free within 30 s", "OVERLOADED"), 429, **{"retry-after": "2"})
    answers.say("At last.")
    ask(page, "hello")
    expect(answer(page)).to_have_text("At last.")
    waited = "\n".join(seen(page, "waiting"))
    assert "The service is busy" in waited
    assert "Trying again in 2 s" in waited
    assert "slot" not in waited
    assert answers.asked[0] == answers.asked[1]


def test_wait_for_a_busy_service_can_be_cut_short_or_stopped(page: Any) -> None:
    """By a button beside the countdown, and by Esc."""
    answers = Answers(page)
    answers.add(problem(14, "x", "WORKER_DIED"), 503, **{"retry-after": "500"})
    answers.say("Now.")
    ask(page, "hello")
    page.get_by_role("button", name="Try now").click()
    expect(answer(page)).to_have_text("Now.")
    answers.add(problem(14, "x", "WORKER_DIED"), 503, **{"retry-after": "500"})
    ask(page, "again")
    expect(page.get_by_role("button", name="Try now")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".assistant .mark:visible").last).to_contain_text("Stopped before an answer came")


def test_lost_service_is_found_again(page: Any) -> None:
    """The state is true while it is away, and the question is asked when it is back."""
    answers = Answers(page)
    page.route("**/health/ready", lambda route: route.abort())
    ask(page, "hello")
    expect(page.locator(".waiting")).to_contain_text("The service cannot be reached.")
    expect(page.locator("#model-state")).to_have_text("not reached, trying again")
    answers.say("I am back.")
    page.unroute("**/health/ready")
    expect(answer(page)).to_have_text("I am back.")
    expect(page.locator("#model-state")).to_have_text("ready")


def test_service_that_starts_is_said_to(page: Any) -> None:
    """Envoy answers for it meanwhile."""
    page.route("**/health/ready", lambda route: route.fulfill(status=503))
    expect(page.locator("#model-state")).to_have_text("starting or stopping")
    page.unroute("**/health/ready")
    expect(page.locator("#model-state")).to_have_text("ready")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (TOO_LONG, 400, "it has 900 tokens, and 512 fit"),
        (problem(5, "x", "MODEL_NOT_FOUND"), 404, "not served here any more"),
        (problem(13, "x", "INTERNAL", incident_id="abc123"), 500, "Its log has more under abc123"),
        (problem(9, "missing.gguf: no such file", "MODEL_FAILED"), 400, "missing.gguf: no such file"),
    ],
)
def test_errors_are_said_in_a_persons_words(page: Any, body: str, status: int, words: str) -> None:
    """With what can be done about them; a model's own reason stays as it is."""
    answers = Answers(page)
    answers.add(body, status)
    answers.say("Fine.")
    ask(page, "hello")
    expect(page.locator(".assistant .mark:visible")).to_contain_text(words)
    page.get_by_role("button", name="Try again").click()
    expect(answer(page)).to_have_text("Fine.")
    expect(page.locator(".mark:visible")).to_have_count(0)


def test_page_opens_without_a_key_and_asks_for_it(browser: Any, model_directory: Path, tmp_path: Path) -> None:
    """Also where the API's description is not public; no lasting storage has the key, and a wrong one is said to be."""
    keyed = run_secured(tmp_path, model_directory, LLM_API_KEYS=f"ann:{KEY}")
    with keyed as guarded, tab(browser, guarded.url) as page:
        page.goto("/")
        expect(page.get_by_role("dialog")).to_contain_text("This service answers those who have a key")
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="does not know this API key")).to_be_visible()
        page.get_by_role("textbox", name="API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_hidden()
        expect(page.locator("#model-state")).to_have_text("ready")
        ask(page, "What is 2+2?")
        assert answer(page).inner_text()
        assert KEY not in page.evaluate("JSON.stringify(localStorage)")
        for path in ("/status", "/swagger-ui"):
            page.goto(path)
            expect(page.locator("#models th, .opblock").first).to_be_visible()
            expect(page.locator("#problem")).to_be_empty()
        expect(page.locator(".authorization__btn").first).to_be_visible()
        page.evaluate("sessionStorage.clear()")
        page.reload()
        expect(page.get_by_role("dialog")).to_be_visible()
