"""Models and settings on the chat page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.browser import MARKS, Answers, answer, ask, expect, seen, tab
from tests.e2e.service import RunningService, run_service

pytestmark = MARKS

THINKER = {"can_be_off": True, "efforts": ["low", "high"], "by_default": True}


@pytest.fixture
def several(browser: Any, service: RunningService) -> Iterator[Any]:
    """The page of a service with several models, some of them broken."""
    service.wait_until_idle()
    with tab(browser, service.url) as page:
        page.goto("/")
        yield page


def open_list(page: Any) -> Any:
    page.get_by_role("button", name="Model:").click()
    return page.get_by_role("dialog", name="Models")


def row(page: Any, model: str) -> Any:
    return page.locator(f'.model[data-id="{model}"]')


def open_settings(page: Any) -> Any:
    page.get_by_role("button", name="Settings").click()
    page.get_by_text("More", exact=True).click()
    expect(page.get_by_label("Min p")).to_be_visible()
    return page.get_by_role("dialog", name="Settings")


def test_models_say_their_state_size_and_context(several: Any) -> None:
    """Those of the settings, in their order; broken ones say why when they are loaded."""
    dialog = open_list(several)
    broken = ("missing.gguf", "empty.gguf", "truncated.gguf", "garbage.gguf", "nan.gguf")
    expect(dialog.locator(".model strong")).to_have_text(["tiny", "plain.gguf", *broken, "steady.gguf"])
    expect(row(several, "tiny")).to_contain_text("ready")
    expect(row(several, "tiny").locator(".hint")).to_contain_text(
        re.compile(r"[\d.]+ [kM]B · context of [\d,]+ tokens")
    )
    several.get_by_role("button", name="Load missing.gguf").click()
    expect(row(several, "missing.gguf").locator(".reason")).to_contain_text("missing.gguf")
    expect(row(several, "missing.gguf")).to_contain_text("failed")


def test_model_is_loaded_and_unloaded(several: Any, service: RunningService) -> None:
    """By its button in the list."""
    open_list(several)
    several.get_by_role("button", name="Load plain.gguf", exact=True).click()
    expect(row(several, "plain.gguf")).to_contain_text("ready")
    several.get_by_role("button", name="Unload plain.gguf").click()
    expect(row(several, "plain.gguf")).to_contain_text("not in memory")
    state = httpx.get(f"{service.url}/api/llms/plain.gguf").json()["model"]["state"]
    assert state == "UNLOADED"


def test_chosen_model_is_asked_and_stays(several: Any) -> None:
    """Of the conversation, which names it, and of new chats, also after the page was loaded again."""
    answers = Answers(several)
    answers.say("Yes.", "No.")
    open_list(several)
    row(several, "steady.gguf").locator(".choose").click()
    ask(several, "hello")
    answer(several)
    assert answers.asked[-1]["model"] == "steady.gguf"
    several.reload()
    expect(several.locator("#model-name")).to_have_text("steady.gguf")
    several.get_by_role("button", name="New chat").click()
    expect(several.locator("#model-name")).to_have_text("steady.gguf")


@pytest.mark.parametrize(
    ("state", "progress", "words"),
    [
        ("LOADING", {"done": 0.25, "total": 1, "unit": "FRACTION"}, "loading, 25 %"),
        ("CONVERTING", {"done": 30, "total": 60, "unit": "TENSORS"}, "converting, 50 %"),
        ("DOWNLOADING", {"done": 5e8, "total": 2e9, "unit": "BYTES"}, "downloading, 500 MB / 2 GB"),
    ],
)
def test_progress_is_that_of_the_service(page: Any, state: str, progress: dict[str, Any], words: str) -> None:
    """In words and as a bar, in the head and in the list."""
    model = {"id": "demo", "state": state, "progress": progress}
    page.route("**/api/llms/demo:watch", lambda route: route.abort())
    page.route("**/api/llms", lambda route: route.fulfill(body=json.dumps({"models": [model]})))
    page.reload()
    expect(page.locator("#model-state")).to_have_text(words)
    bar = page.get_by_role("progressbar", name="Progress of the model")
    assert bar.evaluate("bar => bar.value") == progress["done"] / progress["total"]
    open_list(page)
    expect(page.get_by_role("progressbar", name="Progress of demo")).to_be_visible()


def test_load_is_followed_while_an_answer_waits(several: Any) -> None:
    """The head says that the model is being loaded, and that it is ready, without a new look at the page."""
    open_list(several)
    row(several, "plain.gguf").locator(".choose").click()
    expect(several.locator("#model-state")).to_have_text("not in memory")
    ask(several, "hello")
    expect(several.locator("#model-state")).to_have_text("ready")
    answer(several)
    assert any("loading" in text for text in seen(several, "state"))
    httpx.post(f"{several.url.split('#')[0]}api/llms/plain.gguf:unload", timeout=60)


def test_settings_are_those_of_the_api(page: Any) -> None:
    """Fields and ranges come from its description; those that are set are sent, others are not."""
    answers = Answers(page)
    answers.say("Yes.")
    dialog = open_settings(page)
    expect(dialog.get_by_label("Temperature", exact=True)).to_have_attribute("max", "2")
    expect(dialog.get_by_label("Typical p", exact=True)).to_have_attribute("placeholder", "1")
    values = {"System prompt": "Be brief.", "Temperature": "0", "Max tokens": "5", "Min p": "0.1", "Stop": "a\nb"}
    for label, value in values.items():
        dialog.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Done").click()
    ask(page, "Hello!")
    answer(page)
    assert answers.asked[-1] == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}],
        "model": "demo",
        "temperature": 0,
        "max_tokens": 5,
        "min_p": 0.1,
        "stop": ["a", "b"],
        "timings": True,
    }


def test_settings_show_the_defaults_of_this_service(browser: Any, model_directory: Path, tmp_path: Path) -> None:
    """Which are settings of it, and its limit; others are the API's own."""
    defaults = {"TEMPERATURE": "0.15", "TOP_P": "0.5", "MAX_TOKENS": "64", "SEED": "1234567"}
    variables = {f"LLM_DEFAULT_{name}": value for name, value in defaults.items()}
    variables |= {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_MAX_TOKENS_LIMIT": "1000"}
    with run_service(tmp_path, model_directory, **variables) as service, tab(browser, service.url) as page:
        page.goto("/")
        dialog = open_settings(page)
        for label, value in [("Temperature", "0.15"), ("Top p", "0.5"), ("Max tokens", "64"), ("Seed", "1234567")]:
            expect(dialog.get_by_label(label, exact=True)).to_have_attribute("placeholder", value)
        expect(dialog.locator("#parameter-max_tokens-hint")).to_contain_text("At most 1,000 here.")
        expect(dialog.get_by_label("Min p", exact=True)).to_have_attribute("placeholder", "0")


def test_all_parameters_have_a_field(page: Any, demo: RunningService) -> None:
    """Those that are numbers; a parameter that the API gets has one by itself."""
    open_settings(page)
    fields = page.evaluate("[...document.querySelectorAll('[data-parameter]')].map((field) => field.dataset.parameter)")
    schema = httpx.get(f"{demo.url}/openapi.json").json()["components"]["schemas"]["ChatRequest"]["properties"]
    numbers = {name for name, one in schema.items() if one.get("type") in ("number", "integer")}
    assert numbers - set(fields) == {"n", "top_logprobs"}


def test_settings_belong_to_their_conversation(page: Any) -> None:
    """A sign beside the field says that there are some; new chats begin with the usual ones."""
    answers = Answers(page)
    answers.say("Yes.", "No.")
    open_settings(page)
    page.get_by_label("System prompt").fill("Be brief.")
    page.keyboard.press("Escape")
    expect(page.locator("#set")).to_have_text("System prompt")
    ask(page, "Hello!")
    answer(page)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#set")).to_be_hidden()
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Use for new chats").click()
    page.get_by_role("button", name="Done").click()
    page.reload()
    expect(page.locator("#set")).to_have_text("1 setting")
    page.get_by_role("link", name="Hello!").click()
    expect(page.locator("#set")).to_have_text("System prompt")


def test_impossible_settings_are_not_taken(page: Any) -> None:
    """The browser says what is wrong, and the dialog stays; Esc leaves it and keeps what was possible."""
    dialog = open_settings(page)
    dialog.get_by_label("Seed").fill("7")
    dialog.get_by_label("Temperature", exact=True).fill("3")
    page.get_by_role("button", name="Done").click()
    expect(dialog).to_be_visible()
    expect(dialog.get_by_label("Temperature", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#set")).to_have_text("1 setting")


@pytest.mark.parametrize(
    ("kind", "text", "sent"),
    [
        ("JSON by a schema", '{"type": "object"}', {"json_schema": '{"type": "object"}'}),
        ("one of several texts", "yes\nno", {"choice": {"texts": ["yes", "no"]}}),
        ("a JSON object", None, {"json_object": True}),
        ("by a regular expression", "[0-9]+", {"regex": "[0-9]+"}),
    ],
)
def test_answers_can_be_restricted(page: Any, kind: str, text: str | None, sent: dict[str, Any]) -> None:
    """To a schema, a choice and more."""
    answers = Answers(page)
    answers.say("{}")
    dialog = open_settings(page)
    dialog.get_by_label("Answers are").select_option(kind)
    if text:
        dialog.get_by_label("Schema, texts").fill(text)
    page.get_by_role("button", name="Done").click()
    ask(page, "Hello!")
    answer(page)
    assert sent.items() <= answers.asked[-1].items()


def test_restricted_answer_of_the_real_model_is_one_of_the_choice(page: Any) -> None:
    """Through the whole service."""
    dialog = open_settings(page)
    dialog.get_by_label("Answers are").select_option("one of several texts")
    dialog.get_by_label("Schema, texts").fill("heads\ntails")
    page.get_by_role("button", name="Done").click()
    ask(page, "Heads or tails?")
    assert answer(page).inner_text() in ("heads", "tails")


def test_thinking_is_switched_where_the_model_has_it(page: Any) -> None:
    """Models without it have no switch."""
    open_settings(page)
    expect(page.locator("#thinking")).to_be_hidden()
    page.keyboard.press("Escape")
    model = {"id": "demo", "state": "ACTIVE", "info": {"generates": True, "thinking": THINKER}}
    page.route("**/api/llms/demo:watch", lambda route: route.abort())
    page.route("**/api/llms", lambda route: route.fulfill(body=json.dumps({"models": [model]})))
    page.reload()
    answers = Answers(page)
    answers.say("Yes.")
    page.get_by_role("button", name="Settings").click()
    page.locator("#thinking").select_option("Off")
    page.locator("#effort").select_option("low")
    page.get_by_role("button", name="Done").click()
    ask(page, "Hello!")
    answer(page)
    assert answers.asked[-1]["thinking"] is False
    assert answers.asked[-1]["reasoning_effort"] == "low"
