"""The page for operators."""

from typing import Any

import pytest

from tests.e2e.browser import MARKS, expect, tab
from tests.e2e.service import RunningService

pytestmark = MARKS


@pytest.fixture
def status(browser: Any, demo: RunningService) -> Any:
    with tab(browser, demo.url) as page:
        page.goto("/status")
        yield page


def figure(page: Any, name: str) -> Any:
    return page.locator(".chart").filter(has_text=name).locator("strong")


def test_work_shows_in_the_charts(status: Any, demo: RunningService) -> None:
    """Tokens, time to the first of them, and the model's slots, cache and memory."""
    expect(status.locator("#models th")).to_have_text("demo")
    expect(status.locator("#models td").nth(1)).to_contain_text("0 / 10")
    expect(status.locator("#models")).to_contain_text("tokens")
    expect(figure(status, "Generated tokens per second")).to_have_text("0")
    with demo.http() as http:
        http.post("/api/generate", json={"prompt": "Once", "max_tokens": 200, "ignore_eos": True})
    expect(figure(status, "Generated tokens per second")).not_to_have_text("0")
    chart = status.get_by_role("img", name="Generated tokens per second:")
    assert chart.locator(".line").get_attribute("d").count("L") > 0


def test_service_that_is_away_is_said_to_be(status: Any) -> None:
    """Until it is back."""
    expect(status.locator("#service-state")).to_have_text("ready")
    status.route("**/metrics", lambda route: route.abort())
    expect(status.locator("#service-state")).to_have_text("not reached, trying again")
    expect(status.get_by_role("alert")).to_have_text("The service cannot be reached.")
    status.unroute("**/metrics")
    expect(status.locator("#service-state")).to_have_text("ready")


def test_ways_lead_to_the_other_pages(status: Any) -> None:
    """And back."""
    status.get_by_role("link", name="API").click()
    status.get_by_role("link", name="Chat").click()
    status.get_by_role("link", name="Status").click()
    expect(status).to_have_title("Status – llm-inference-api")
