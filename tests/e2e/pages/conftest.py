"""A browser, and the page of a service with the demo model."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.service import RunningService


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from tests.e2e.browser import chromium  # noqa: PLC0415 - its module is skipped where the browser is not installed.

    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, demo: RunningService) -> Iterator[Any]:
    """The chat page of a service with one model."""
    from tests.e2e.browser import tab  # noqa: PLC0415

    demo.wait_until_idle()
    with tab(browser, demo.url) as page:
        page.goto("/")
        yield page
