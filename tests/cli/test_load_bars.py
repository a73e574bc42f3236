"""The bars of models that `serve` loads."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from llm_inference_api.cli.load_bars import load_bars
from llm_inference_api.observability.log import set_up_log
from llm_inference_api.requests.model_status import LoadProgress, ModelStatus, Observer, State
from tests.observability.test_log import Window

SHOWN = "\x1b[?25l"
"""Hides the cursor, as long as there are bars."""
HIDDEN = "\x1b[?25h"
HUB_FILE = "Qwen/Qwen2.5-0.5B-Instruct-GGUF:qwen2.5-0.5b-instruct-q4_k_m.gguf"


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Window()


@pytest.fixture
def bars(window: Window) -> Iterator[Observer]:
    with load_bars(set_up_log(None, "INFO", "my-service", "1.2", window)) as observer:
        yield observer


def status(state: State, model: str = "tiny", progress: LoadProgress | None = None) -> ModelStatus:
    return ModelStatus(model, "source", state, progress=progress)


@pytest.mark.parametrize(
    ("state", "progress", "amount"),
    [
        (State.DOWNLOADING, LoadProgress(12_300_000, 98_000_000, "BYTES"), "12.3/98.0 MB"),
        (State.CONVERTING, LoadProgress(12, 290, "TENSORS"), "12/290 tensors"),
        (State.QUANTIZING, LoadProgress(13, 290, "TENSORS"), "13/290 tensors"),
        (State.LOADING, LoadProgress(0.25, 1.0, "FRACTION"), "25 %"),
        (State.LOADING, None, "loading"),
    ],
)
def test_model_on_its_way_has_a_bar(
    bars: Observer, window: Window, state: State, progress: LoadProgress | None, amount: str
) -> None:
    """With its state, its id, and what is done in the unit of that."""
    bars.status_changed(status(state, progress=progress))
    bars.status_changed(status(State.ACTIVE))
    assert f"{state.value.lower()} tiny" in window.getvalue()
    assert amount in window.getvalue()


def test_long_id_leaves_room_for_the_bar(bars: Observer, window: Window) -> None:
    """Its end tells models apart."""
    bars.status_changed(status(State.DOWNLOADING, HUB_FILE, LoadProgress(12_300_000, 98_000_000, "BYTES")))
    bars.status_changed(status(State.ACTIVE, HUB_FILE))
    assert "12.3/98.0 MB" in window.getvalue()
    assert "downloading …5b-instruct-q4_k_m.gguf" in window.getvalue()


def test_keys_that_the_terminal_shows_stay_on_the_line_of_the_bar(bars: Observer, window: Window) -> None:
    """At the end of a full line `^C` would go on below, and the bar would be left there."""
    bars.status_changed(status(State.LOADING))
    bars.status_changed(status(State.ACTIVE))
    text = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", window.getvalue())
    assert 60 < max(map(len, re.split("[\r\n]", text))) < 80 - len("^C")


def test_each_model_has_its_own_bar_and_the_last_leaves_the_terminal_as_it_was(bars: Observer, window: Window) -> None:
    """A model that is ready takes its bar alone away."""
    bars.status_changed(status(State.LOADING, "a"))
    bars.status_changed(status(State.LOADING, "b"))
    bars.status_changed(status(State.ACTIVE, "a"))
    assert window.getvalue().count(SHOWN) == 1
    assert HIDDEN not in window.getvalue()
    bars.status_changed(status(State.FAILED, "b"))
    assert window.getvalue().endswith(f"\x1b[2K{HIDDEN}\r")


@pytest.mark.parametrize("state", [State.UNLOADED, State.ACTIVE, State.UNLOADING, State.FAILED])
def test_model_that_rests_has_no_bar(bars: Observer, window: Window, state: State) -> None:
    """Nothing is written."""
    bars.status_changed(status(state))
    assert window.getvalue() == ""


def test_lines_of_the_log_stand_above_the_bars(bars: Observer, window: Window) -> None:
    """A line goes where the bars begin, and they are drawn again below it."""
    bars.status_changed(status(State.LOADING))
    drawn = len(window.getvalue())
    logging.getLogger("x").info("a line")
    line, _, below = window.getvalue()[drawn:].partition("a line")
    assert line.startswith("\r\x1b[2K")
    assert "loading tiny" in below


def test_end_of_the_service_leaves_the_terminal_as_it_was(window: Window) -> None:
    """Also while a model is on its way."""
    with load_bars(set_up_log(None, "INFO", "my-service", "1.2", window)) as observer:
        observer.status_changed(status(State.LOADING))
    assert window.getvalue().count(HIDDEN) == 1


@pytest.mark.parametrize(("form", "stream"), [(None, io.StringIO()), ("json", Window()), ("pretty", io.StringIO())])
def test_file_and_program_get_no_bars(form: str | None, stream: io.StringIO) -> None:
    """They would be noise there."""
    with load_bars(set_up_log(form, "INFO", "my-service", "1.2", stream)) as observer:  # type: ignore[arg-type]
        observer.status_changed(status(State.LOADING))
    assert stream.getvalue() == ""
