"""The bar of a download or a conversion."""

import io

import pytest
from rich.console import Console

from llm_inference_api.cli import progress
from llm_inference_api.cli.progress import Unit, progress_bar

LONG = "Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf"


def shown(monkeypatch: pytest.MonkeyPatch, unit: Unit, done: float, total: float | None) -> str:
    """Returns what a terminal of 80 columns gets."""
    written = io.StringIO()
    console = Console(file=written, width=80, force_terminal=True, color_system=None, markup=False)
    monkeypatch.setattr(progress, "console", lambda **_: console)
    with progress_bar(LONG) as bar:
        bar.show("downloading", Unit.BYTES, 1, 2)
        bar.show("working", unit, done, total)
    return written.getvalue()


@pytest.mark.parametrize(
    ("unit", "done", "total", "amount"),
    [
        (Unit.BYTES, 12_300_000, 98_000_000, "12.3/98.0 MB"),
        (Unit.TENSORS, 12, 290, "12/290 tensors"),
        (Unit.FRACTION, 0.25, 1.0, "25 %"),
        (Unit.UNKNOWN, 0, None, "working"),
    ],
)
def test_bar_says_what_is_done(
    monkeypatch: pytest.MonkeyPatch, unit: Unit, done: float, total: float | None, amount: str
) -> None:
    """In the unit of its stage, below the model's name, on one line of 80 columns."""
    text = shown(monkeypatch, unit, done, total)
    assert text.startswith(f"{LONG}\n")
    assert "working" in text
    assert amount in text


def test_pipe_gets_the_name_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar in a file would be noise."""
    with progress_bar(LONG) as bar:
        bar.show("downloading", Unit.BYTES, 1, 2)
    assert capsys.readouterr().err.strip() == LONG
