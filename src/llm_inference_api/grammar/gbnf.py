"""Converts GBNF, the grammars of llama.cpp, to llguidance's dialect of Lark.

Takes quadratic time for some grammars, and recurses, so it belongs into a process with limits.
"""

import re

from llguidance.gbnf_to_lark import gbnf_to_lark

_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|#[^\n]*', re.DOTALL)
"""A text, a class of characters, or a comment."""
_SPLIT = re.compile(f"({_TOKEN.pattern})", re.DOTALL)
_ROOT = re.compile(r"(?<![\w-])root(?![\w-])")
_HEAD = re.compile(r"^\s*root\s*::=", re.MULTILINE)
_WHOLE = "root-of-gbnf"
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_OPERATORS = {"&": r"\x26", "~": r"\x7e"}
"""Characters that mean more in the classes of Rust's regular expressions, where there are two of them."""


def as_lark(source: str) -> str:
    """Returns the grammar in Lark. Raises ValueError if it is none, or has what cannot be converted."""
    try:
        return str(gbnf_to_lark(_with_root(_TOKEN.sub(lambda found: _plain(found[0]), source))))
    except RecursionError as error:
        raise ValueError("has too many levels") from error
    except Exception as error:  # The library has no class of errors for some of them.
        raise ValueError(f"is no GBNF grammar that can be followed: {error}") from error


def _with_root(source: str) -> str:
    """Returns the grammar with its `root` below another one.

    The library makes rules that do not recurse terminals, all but the root. Lark's lexer takes the longest match of a
    terminal, and GBNF has none: a grammar that does not recurse must be one terminal to mean the same.
    """
    if not _HEAD.search(source):
        raise ValueError("has no rule root")
    parts = [part if index % 2 else _ROOT.sub(_WHOLE, part) for index, part in enumerate(_SPLIT.split(source))]
    return f"{''.join(parts)}\nroot ::= {_WHOLE}\n"


def _plain(token: str) -> str:
    if token.startswith("#"):
        return token
    text = _ESCAPE.sub(_character, token)
    if token.startswith('"'):
        return text
    for operator, escaped in _OPERATORS.items():
        text = text.replace(operator, escaped)
    return text.replace("--", r"-\x2d")


def _character(escape: re.Match[str]) -> str:
    """Returns an escape that the library writes as it should: it omits zeros that Lark needs."""
    if escape[3] is not None:
        return escape[0]
    code = int(escape[1] or escape[2], 16)
    return f"\\x{code:02x}" if code <= 0xFF else chr(code)
