"""Text that others chose, on a terminal."""

import io

import pytest

from llm_inference_api.cli import terminal
from llm_inference_api.cli.terminal import cell, on_one_line, table, visible


def test_what_a_terminal_obeys_is_escaped() -> None:
    """Control characters of both forms, changes of the writing direction, and what cannot be written."""
    assert visible("\x1b[2J\x9b1m\x07\x08\x7f\u202e\u2066\u2028\ud800") == (
        r"\x1b[2J\x9b1m\x07\x08\x7f\u202e\u2066\u2028\ud800"
    )


@pytest.mark.parametrize("text", ["two\n\tlines", "grüße 你好 👩‍👩‍👧 עברית\u200f, a\u00a0b"])
def test_text_of_all_languages_stays(text: str) -> None:
    """Joiners of emoji and marks of direction are part of it."""
    assert visible(text) == text


def test_lines_cannot_be_written_over() -> None:
    """A carriage return is left out, alone or before a line feed."""
    assert visible("good\rbad\r\nnext") == "goodbad\nnext"


def test_cells_are_no_markup() -> None:
    """What looks like rich's markup in an id or a template is text, on one line."""
    rows = table("id", "text")
    rows.add_row(cell("[red]a[/red]"), cell("{% if x %}[/INST]\n:smile:\x1b[1m"))
    written = io.StringIO()
    shown = terminal.console()
    shown.file = written
    shown.print(rows)
    assert written.getvalue().split("\n")[1].split() == [
        *("[red]a[/red]", "{%", "if", "x", "%}[/INST]", r":smile:\x1b[1m")
    ]


def test_text_is_joined_to_one_line() -> None:
    """Whatever white space it has."""
    assert on_one_line(" a\n\n b\tc ") == "a b c"
