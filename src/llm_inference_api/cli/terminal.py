"""Writing to terminals and pipes: text that others chose, and tables."""

import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PIPE_WIDTH = 1000
"""Columns of tables that go to a file or a program: a row is one line there."""
_OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters other than tab, line feed and carriage return; line separators; changes of the writing direction,
by which text can look like another one (CVE-2021-42574); surrogates, which cannot be written."""


def visible(text: str) -> str:
    """Returns the text with everything that a terminal would obey escaped as Python writes it.

    A model, or who chose its name, could otherwise clear the screen, or have the terminal type something. Line breaks
    and tabs stay; carriage returns, by which a line could be written over, are left out.
    """
    return _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text.replace("\r", ""))


def on_one_line(text: str) -> str:
    """Returns the text as `visible` does, with its white space joined."""
    return visible(" ".join(text.split()))


def cell(value: object, style: str = "") -> "Text":
    """Returns a table's cell. Its text is neither markup nor obeyed by the terminal."""
    from rich.text import Text

    return Text(on_one_line(str(value)), style)


def console(*, stderr: bool = False) -> "Console":
    """Returns a console on standard output, or standard error; as wide as the terminal, wider in a pipe."""
    from rich.console import Console

    from llm_inference_api.observability.pretty import environment_of

    stream = sys.stderr if stderr else sys.stdout
    # Without markup, emoji and highlighting: what is printed are other people's texts.
    environment = environment_of(stream)
    plain = Console(stderr=stderr, markup=False, emoji=False, highlight=False, _environ=environment)
    if not stream.isatty():
        plain.width = _PIPE_WIDTH
    return plain


def table(*columns: str) -> "Table":
    """Returns an empty table without lines. Cells that are too wide go on below; without names there is no head."""
    from rich.table import Table

    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=any(columns))
    for name in columns:
        made.add_column(name, overflow="fold")
    return made
