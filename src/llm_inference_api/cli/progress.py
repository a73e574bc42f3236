"""A progress bar for work of which the unit becomes known as it goes on."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from llm_inference_api.cli.terminal import console, on_one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, ProgressColumn, Task


class Unit(Enum):
    """What progress is counted in; the names are those of the contract's `LoadProgress.Unit`."""

    BYTES = "BYTES"
    TENSORS = "TENSORS"
    FRACTION = "FRACTION"
    UNKNOWN = "UNIT_UNSPECIFIED"


class ProgressBar:
    """The bar of one piece of work, whose stages have bars of their own one after another."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task = bar.add_task("starting", total=None, unit=Unit.UNKNOWN)
        self._stage = ("starting", Unit.UNKNOWN)

    def show(self, stage: str, unit: Unit, done: float, total: float | None) -> None:
        """Shows how far a stage is, such as `downloading`, in units of which there are `total`, if that is known."""
        if (stage, unit) != self._stage:  # Speed and time left are those of the stage.
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(stage, total=total, unit=unit)
            self._stage = (stage, unit)
        self._bar.update(self._task, completed=done, total=total)

    def remove(self) -> None:
        """Takes the bar from the screen."""
        self._bar.remove_task(self._task)


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressBar]:
    """Yields a progress bar on standard error below the title; where that is no terminal, only the title is printed."""
    terminal = console(stderr=True)
    terminal.print(on_one_line(title))
    with bars_on(terminal) as bar:
        yield ProgressBar(bar)


def bars_on(terminal: "Console") -> "Progress":
    """Returns bars at the end of the terminal, not shown yet; none where it is no terminal."""
    from rich.constrain import Constrain
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
    from rich.table import Column

    class Bars(Progress):
        def get_renderables(self) -> "Iterator[RenderableType]":
            # A terminal shows Ctrl-C as `^C`; at the end of a full line that would move all below it.
            yield Constrain(self.make_tasks_table(self.tasks), terminal.width - len("^C") - 1)

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        _amount_column(),
        TimeRemainingColumn(compact=True),
    )
    return Bars(*columns, console=terminal, transient=True, expand=True, disable=not terminal.is_terminal)


def _amount_column() -> "ProgressColumn":
    """Returns the column with what is done: bytes and their speed, tensors, or a percentage."""
    from rich.progress import DownloadColumn, ProgressColumn, TransferSpeedColumn
    from rich.text import Text

    size, speed = DownloadColumn(), TransferSpeedColumn()

    class Amount(ProgressColumn):
        def render(self, task: "Task") -> Text:
            match task.fields["unit"]:
                case Unit.BYTES:
                    return Text(f"{size.render(task)} {speed.render(task)}", no_wrap=True)
                case Unit.TENSORS if task.total:
                    return Text(f"{task.completed:.0f}/{task.total:.0f} tensors", no_wrap=True)
                case Unit.FRACTION:
                    return Text(f"{task.percentage:.0f} %")
            return Text()

    return Amount()
