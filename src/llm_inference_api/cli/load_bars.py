"""Bars of the models that `serve` loads, below its log on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llm_inference_api.cli.progress import ProgressBar, Unit, bars_on
from llm_inference_api.cli.terminal import on_one_line
from llm_inference_api.requests.model_status import ModelStatus, Observer, State

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_ID = 24
"""Characters of a model's id, from its end, beside which a bar, bytes, speed and time fit into 80 columns."""
_SHOWN = frozenset({State.DOWNLOADING, State.CONVERTING, State.QUANTIZING, State.LOADING})


class LoadBars(Observer):
    """A bar for each model on its way into memory; while there is none, the terminal is left alone."""

    def __init__(self, shown: "Progress") -> None:
        self._shown = shown
        self._bars: dict[str, ProgressBar] = {}

    def status_changed(self, status: ModelStatus) -> None:
        """See `Observer`."""
        if status.state in _SHOWN:
            self._show(status)
        elif bar := self._bars.pop(status.id, None):
            bar.remove()
            if not self._bars:
                self._shown.stop()

    def _show(self, status: ModelStatus) -> None:
        bar = self._bars.get(status.id) or self._bars.setdefault(status.id, ProgressBar(self._shown))
        stage, progress = f"{status.state.value.lower()} {_shortened(status.id)}", status.progress
        if progress is None:
            bar.show(stage, Unit.UNKNOWN, 0, None)
        else:
            bar.show(stage, Unit(progress.unit), progress.done, progress.total)
        self._shown.start()  # Without effect where it has begun.


def _shortened(model: str) -> str:
    model = on_one_line(model)
    return model if len(model) <= _ID else f"…{model[1 - _ID :]}"


@contextmanager
def load_bars(terminal: "Console | None") -> Iterator[Observer]:
    """Yields what shows the bars on the terminal; it shows none without one. The terminal is then as it was."""
    if terminal is None:
        yield Observer()
        return
    shown = bars_on(terminal)
    try:
        yield LoadBars(shown)
    finally:
        shown.stop()
