"""Swagger UI on the service's own description, as a developer uses it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.browser import MARKS, chromium, expect, tab
from tests.e2e.service import RunningService

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


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


def test_stream_can_be_tried_out(page: Any) -> None:
    """The events of a stream are shown."""
    body = try_out(page, "ChatStream")
    assert body.count("data: {") > 1
    assert '"finish_reason":"STOP"' in body


def test_key_can_be_given(page: Any) -> None:
    """What "Authorize" is told goes with each request."""
    page.get_by_role("button", name="Authorize").first.click()
    page.get_by_label("auth-bearer-value").fill("secret-key")
    page.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close", exact=True).click()
    with page.expect_request("**/api/generate") as sent:
        try_out(page, "Generate")
    assert sent.value.headers["authorization"] == "Bearer secret-key"
