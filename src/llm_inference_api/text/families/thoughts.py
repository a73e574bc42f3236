"""Leaves models their thoughts where what they say is restricted."""

from collections.abc import Callable

from llm_inference_api.text.families.tool_format import THINK, THINK_END

Terminal = Callable[[str], str]
"""Returns how a grammar spells a marker: as its token, `<[id]>`, where it is one, else as its text."""


def thoughts_rules(terminal: Terminal, *, opened: bool) -> str:
    """Returns Lark rules for `before`, what may stand before a restricted text; empty where nothing may.

    `opened` is for models whose answers begin inside their thoughts. Others may think where `<think>` is a token.
    """
    end = f"{up_to('thoughts', terminal(THINK_END))}\nLINES: /\\n*/\nTHOUGHT: /(.|\\n)*/".replace("TEXT", "THOUGHT")
    if opened:
        return f"before: thoughts LINES\n{end}"
    begin = terminal(THINK)
    return f"before: ({begin} thoughts LINES)?\n{end}" if is_token(begin) else ""


def up_to(rule: str, terminal: str) -> str:
    """Returns a rule for any text up to the terminal: a token, or the first place of a text."""
    return f"{rule}: TEXT {terminal}" if is_token(terminal) else f"{rule}[lazy]: TEXT {terminal}"


def is_token(terminal: str) -> bool:
    """Returns whether the terminal is a token."""
    return terminal.startswith("<[")
