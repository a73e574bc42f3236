"""How an answer is shown while it streams."""

import sys
from typing import TYPE_CHECKING, Protocol

from llm_inference_api.cli.terminal import console, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MARGIN = 2
"""Lines of the terminal that the part of an answer which may still change leaves free."""


class View(Protocol):
    """Shows one answer."""

    def wait(self, what: str) -> None:
        """Shows what the request waits for."""

    def thought(self, text: str) -> None:
        """Shows more of the model's reasoning."""

    def text(self, text: str) -> None:
        """Shows more of the answer."""

    def close(self) -> None:
        """Ends the answer, complete or not."""


class PlainView:
    """Writes the answer's text alone: as it is into a pipe, without what a terminal would obey to a terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()

    def wait(self, what: str) -> None:
        """Writes nothing."""

    def thought(self, text: str) -> None:
        """Writes nothing."""

    def text(self, text: str) -> None:
        """Writes the text at once."""
        print(visible(text) if self._is_terminal else text, end="", flush=True)

    def close(self) -> None:
        """Ends the line."""
        print(flush=True)


class MarkdownView:
    """Renders the answer as Markdown on a terminal.

    Blocks that are complete, such as a paragraph, are printed for good. The last one, which the next token may change,
    is drawn again and again below them; of one that is higher than the terminal only the end, until it is complete.
    """

    def __init__(self, terminal: "Console") -> None:
        from rich.live import Live

        self._terminal = terminal
        self._wait = ""
        self._thoughts = ""
        self._open = ""
        """Text of the blocks that are not printed yet."""
        self._is_first = True
        self._live = Live(
            console=terminal,
            get_renderable=self._rest,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def wait(self, what: str) -> None:
        """Shows it until more comes."""
        self._wait = what

    def thought(self, text: str) -> None:
        """Shows the end of the reasoning, dim; all of it stays above the answer."""
        self._thoughts += visible(text)

    def text(self, text: str) -> None:
        """Adds the text, and prints the blocks that it completes."""
        from llm_inference_api.cli.chat.markdown import closed_part

        self._print_thoughts()
        self._open += visible(text)
        if "\n" in text and (closed := closed_part(self._open)):
            self._open = self._open[len(closed) :]
            self._print(closed)

    def close(self) -> None:
        """Prints what is left."""
        self._live.stop()
        self._print_thoughts()
        if self._open.strip():
            self._print(self._open)
        self._open = ""

    def _print_thoughts(self) -> None:
        from rich.text import Text

        if thoughts := self._thoughts.strip():
            self._terminal.print(Text(thoughts, "dim italic"))
            self._is_first = False
        self._thoughts = ""

    def _print(self, text: str) -> None:
        from llm_inference_api.cli.chat.markdown import AnswerMarkdown

        if not self._is_first:
            self._terminal.print()
        self._is_first = False
        self._terminal.print(AnswerMarkdown(text))

    def _rest(self) -> "RenderableType":
        """Returns what is shown of what may still change. The thread that draws calls it."""
        from rich.segment import SegmentLines
        from rich.spinner import Spinner
        from rich.text import Text

        from llm_inference_api.cli.chat.markdown import AnswerMarkdown

        shown: RenderableType
        if text := self._open:
            shown = AnswerMarkdown(text)
        elif thoughts := self._thoughts.strip():
            shown = Text(thoughts, "dim italic")
        else:
            return Spinner("dots", Text(self._wait, "dim")) if self._is_first else Text()
        lines = self._terminal.render_lines(shown, pad=False)
        return SegmentLines(lines[-max(1, self._terminal.height - _MARGIN) :], new_lines=True)


def view() -> View:
    """Returns how an answer is shown on standard output: as Markdown on a terminal, else as it is."""
    terminal = console()
    return MarkdownView(terminal) if terminal.is_terminal and not terminal.is_dumb_terminal else PlainView()
