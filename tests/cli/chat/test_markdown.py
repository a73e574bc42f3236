"""Answers as Markdown, without loss of what a model has said."""

import io

import pytest
from rich.console import Console

from llm_inference_api.cli.chat.markdown import AnswerMarkdown, closed_part


def rendered(text: str, width: int = 60) -> str:
    """Returns what a console of this width shows, without colours."""
    written = io.StringIO()
    Console(file=written, width=width, color_system=None).print(AnswerMarkdown(text))
    return written.getvalue().strip("\n")


@pytest.mark.parametrize(
    "text",
    [
        "call __init__ and __main__",
        "2**3 or 2 ** 3",
        "a*b*c",
        "snake_case and _private",
        r"C:\*.txt and C:\dir\*.txt and dir\*.txt",
        r"\(x^2\) and \[y\]",
        "<b>html</b> and &lt; and &amp;",
        "<div>block</div>",
        "[red]no markup[/red] [/INST]",
        "[name]: http://example.org",
        "<http://example.org>",
        "a line\nand the next",
        "def f(x):\n    if x:\n        return 1\n    return 2",
        ":smile:",
    ],
)
def test_text_that_is_no_markdown_stays(text: str) -> None:
    """Markdown's readers take these characters away."""
    assert rendered(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold** and *weak* and `code`", "bold and weak and code"),
        ("是**粗体**文字", "是粗体文字"),
        (r"\*no list\*", "*no list*"),
        ("# Title\n\ntext", "Title\n\ntext"),
        ("[text](http://example.org)", "text (http://example.org)"),
        ("![alt](http://example.org/a.png)", "!alt (http://example.org/a.png)"),
        ("- one\n- two\n  - three", " • one\n • two\n    • three"),
        ("```python\nif x:\n    y = [1]  # **no**\n```", "if x:\n    y = [1]  # **no**"),
        ("```\nnot closed", "not closed"),
        ("one  \ntwo", "one\ntwo"),
        ("- one\n  more\n- two", " • one\n   more\n • two"),
    ],
)
def test_markdown_is_rendered(text: str, shown: str) -> None:
    """Code can be copied as it stands; addresses are seen."""
    assert rendered(text) == shown


def test_table_is_not_cut() -> None:
    """A word that is longer than its column goes on below."""
    word = "x" * 70
    assert "".join(rendered(f"| a | b |\n|---|---|\n| 1 | {word} |", width=40).split()).count("x") == 70


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("one", ""),
        ("one\n", ""),
        ("one\n\ntwo", "one\n\n"),
        ("- a\n- b\n\n  c", ""),
        ("- a\n\ntext", "- a\n\n"),
        ("```\na\n\nb", ""),
        ("```\na\n```\nafter", "```\na\n```\n"),
        ("one\n\n[a]: http://x\n\ntwo", "one\n\n[a]: http://x\n\n"),
    ],
)
def test_blocks_but_the_last_are_closed(text: str, closed: str) -> None:
    """What may still change is not printed for good."""
    assert closed_part(text) == closed


def test_parts_make_the_whole() -> None:
    """Wherever a text is cut, closed and open part together show the same words."""
    text = "# A\n\none\n\n- x\n- y\n\n```\ncode\n```\n\n> q\n\nend"
    for end in range(len(text)):
        closed = closed_part(text[:end])
        assert text.startswith(closed)
        shown = rendered(closed) + "\n" + rendered(text[len(closed) :])
        assert shown.split() == rendered(text).split()
