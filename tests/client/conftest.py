"""The service that the client's tests ask."""

from collections.abc import Iterator

import pytest

from tests.client.service import FakeService, running


@pytest.fixture
def service() -> Iterator[FakeService]:
    """A service that does as it is told."""
    with running() as fake:
        yield fake
