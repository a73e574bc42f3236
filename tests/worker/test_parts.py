"""What a worker's parts are built with."""

import logging
from pathlib import Path

import pytest

from llm_inference_api.errors import ModelFailedError
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig
from llm_inference_api.worker.parts import build, largest_context
from tests.fakes.gguf import write_tiny_model


class Device:
    """Has memory for so many cells."""

    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.tried: list[tuple[int, int]] = []

    def create(self, length: int, cells: int) -> str:
        self.tried.append((length, cells))
        if cells > self.cells:
            raise ModelFailedError("no memory")
        return "context"


def test_context_that_nobody_asked_for_is_halved_until_the_device_has_memory() -> None:
    """The service does not know what a GPU has."""
    device = Device(cells=10_000)
    choice = ContextChoice(30_000, 40_000, may_shrink=True)
    assert largest_context(choice, 1 << 17, device.create) == ("context", 7500)
    assert device.tried == [(30_000, 40_000), (15_000, 20_000), (7500, 10_000)]


def test_context_is_not_made_shorter_than_4096() -> None:
    """Then the model cannot be loaded."""
    device = Device(cells=4000)
    with pytest.raises(ModelFailedError, match="no memory"):
        largest_context(ContextChoice(10_000, 10_000, may_shrink=True), 1 << 17, device.create)
    assert device.tried[-1] == (4096, 4096)


def test_context_that_was_asked_for_is_never_shortened() -> None:
    """Its model cannot be loaded instead."""
    device = Device(cells=10_000)
    with pytest.raises(ModelFailedError, match="no memory"):
        largest_context(ContextChoice(30_000, 40_000), 1 << 17, device.create)
    assert len(device.tried) == 1


CALLING = (
    "{{ tools | tojson }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% for c in m.tool_calls %}<call>{{ c.function.name }}ARGUMENTS</call>{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [("", "chat template 'default': its tool calls have no known form"), ("{{ c.function.arguments | tojson }}", "")],
)
def test_calls_that_are_not_understood_are_logged(
    arguments: str, problem: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With the template's name; whoever runs the service sees why tools are told in words."""
    path = write_tiny_model(tmp_path / "tiny.gguf", template=CALLING.replace("ARGUMENTS", arguments))
    with caplog.at_level(logging.WARNING):
        build(EngineConfig(path, 1, slots=1, default_max_tokens=20, queue_timeout=30.0), lambda fraction: None)
    assert problem in caplog.text
    assert bool(problem) == ("chat template" in caplog.text)
