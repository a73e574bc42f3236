"""Metrics whose text is kept until one of them changes."""

import pytest
from prometheus_client import CollectorRegistry

from llm_inference_api.observability.metric_group import MetricGroup


class Read:
    """A group with one gauge, and how often that was read."""

    def __init__(self) -> None:
        self.group = MetricGroup(CollectorRegistry())
        self.times = 0
        self.changes_while_read = False
        self.group.gauge("read", "How often it was read.").set_function(self._value)

    def _value(self) -> float:
        self.times += 1
        if self.changes_while_read:
            self.changes_while_read = False
            self.group.changed()
        return self.times


@pytest.fixture
def read() -> Read:
    return Read()


def test_text_is_rendered_again_only_after_a_change(read: Read) -> None:
    """Rendering takes longer than a step of a small model, and scrapers ask for what has not changed."""
    first = read.group.text()
    assert read.group.text() == first
    assert read.times == 1
    read.group.changed()
    assert b"llm_inference_read 2.0" in read.group.text()
    assert read.times == 2


def test_change_while_the_text_is_rendered_is_in_the_next_one(read: Read) -> None:
    """Its value may have been read before."""
    read.changes_while_read = True
    assert b"llm_inference_read 1.0" in read.group.text()
    assert b"llm_inference_read 2.0" in read.group.text()
