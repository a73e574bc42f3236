"""Grammar rules that allow thoughts before a constrained text."""

from collections.abc import Callable

from llm_inference_api.text.families.tool_format import THINK, THINK_END

Terminal = Callable[[str], str]
"""Returns a marker as a Lark terminal: `<[id]>` if it is a single token, else a quoted string."""


def thoughts_rules(terminal: Terminal, *, opened: bool) -> str:
    """Returns Lark rules that define `before`, the text allowed before a constrained text; empty if none is.

    Args:
        terminal: Returns a marker as a Lark terminal.
        opened: Whether answers start inside the thoughts. Otherwise thoughts are allowed if `<think>` is a token.
    """
    end = f"{up_to('thoughts', terminal(THINK_END))}\nLINES: /\\n*/\nTHOUGHT: /(.|\\n)*/".replace("TEXT", "THOUGHT")
    if opened:
        return f"before: thoughts LINES\n{end}"
    begin = terminal(THINK)
    return f"before: ({begin} thoughts LINES)?\n{end}" if is_token(begin) else ""


def up_to(rule: str, terminal: str) -> str:
    """Returns a Lark rule that matches text up to and including the terminal: a token, or a string's first match."""
    return f"{rule}: TEXT {terminal}" if is_token(terminal) else f"{rule}[lazy]: TEXT {terminal}"


def is_token(terminal: str) -> bool:
    """Returns whether the terminal is a token, not a string."""
    return terminal.startswith("<[")
