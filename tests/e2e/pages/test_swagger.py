"""Swagger UI on the service's own description, as a developer uses it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import MARKS, expect, tab
from tests.e2e.service import RunningService

pytestmark = MARKS


@pytest.fixture
def page(browser: Any, demo: RunningService) -> Iterator[Any]:
    with tab(browser, demo.url) as page:
        page.goto("/swagger-ui")
        yield page


def try_out(page: Any, operation: str) -> str:
    """Returns the body that a click on "Execute" brought."""
    block = page.locator(f"#operations-Generate-{operation}")
    block.locator(".opblock-summary-control").first.click()
    block.get_by_role("button", name="Execute").click()
    response = block.locator(".live-responses-table .response")
    expect(response.locator(".response-col_status")).to_contain_text("200")
    return str(response.locator(".highlight-code").first.inner_text())


def test_unary_call_can_be_tried_out(page: Any) -> None:
    """The example is sent as it stands, and the answer is shown."""
    body = try_out(page, "Generate")
    assert json.loads(body[body.index("{") : body.rindex("}") + 1])["usage"]["completion_tokens"] == 40


def test_stream_is_shown_as_it_comes(page: Any) -> None:
    """Its events stand there while it goes on, and stay when it was stopped."""
    page.route(
        "**/api/chat/stream",
        lambda route: route.continue_(
            post_data={**route.request.post_data_json, "ignore_eos": True, "max_tokens": 1500}
        ),
    )
    block = page.locator("#operations-Generate-ChatStream")
    block.locator(".opblock-summary-control").first.click()
    block.get_by_role("button", name="Execute").click()
    expect(block.locator(".live-stream pre")).to_contain_text("data: {")
    block.get_by_role("button", name="Stop").click()
    response = block.locator(".live-responses-table .response")
    expect(response.locator(".highlight-code").first).to_contain_text("data: {")
    expect(block.locator(".live-stream")).to_have_count(0)


def test_stream_can_be_tried_out(page: Any) -> None:
    """The events of a stream are shown."""
    body = try_out(page, "ChatStream")
    assert body.count("data: {") > 1
    assert '"finish_reason":"STOP"' in body


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("curl", "curl -X 'POST'"),
        ("Python", 'import httpx\n\nanswer = httpx.request("POST"'),
        ("JavaScript", "await fetch("),
        ("gRPC", "llm_inference.v1.InferenceService/Generate"),
    ],
)
def test_request_is_shown_as_code(page: Any, language: str, words: str) -> None:
    """In the languages of those who read it."""
    try_out(page, "Generate")
    snippets = page.locator(".request-snippets")
    snippets.get_by_role("button", name=language, exact=True).or_(
        snippets.get_by_text(language, exact=True)
    ).first.click()
    expect(snippets).to_contain_text(words)


def test_service_without_keys_has_no_locks(page: Any) -> None:
    """Nor asks for any."""
    expect(page.locator(".opblock").first).to_be_visible()
    expect(page.locator(".authorization__btn")).to_have_count(0)
    expect(page.get_by_role("button", name="Authorize")).to_have_count(0)


def test_ways_lead_back(page: Any) -> None:
    """To the chat page."""
    page.get_by_role("link", name="Chat").click()
    expect(page.get_by_label("Message")).to_be_visible()
