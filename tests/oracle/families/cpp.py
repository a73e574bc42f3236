"""Reads the little C++ in which llama.cpp writes its cases: literals, initializer lists, calls and chains of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|^\#(?:[^\n\\]|\\.)*)
      | (?:R"(?P<mark>[^(\s]*)\((?P<raw>.*?)\)(?P=mark)")
      | "(?P<text>(?:[^"\\]|\\.)*)"
      | '(?P<character>(?:[^'\\]|\\.)+)'
      | (?P<number>\d[\w.]*)
      | (?P<word>[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*)
      | (?P<sign>&&|\|\||[-+<>=!]=|<<|>>|->|\+\+|--|::|\S)""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]+|u[0-9a-fA-F]{4}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_PAIRS = {"(": ")", "{": "}", "[": "]"}


class Token(NamedTuple):
    """A token: a literal's value, or the text of a word or sign."""

    kind: str
    """`text`, `number`, `word` or `sign`."""
    value: str
    line: int


Tokens = Sequence[Token]
Names = Mapping[str, Any]


class UnreadableError(Exception):
    """The code has what this reader does not know."""


@dataclass(frozen=True)
class Function:
    """A function that the code defines."""

    parameters: tuple[str, ...]
    body: Tokens


class Chain(Protocol):
    """A value whose methods the code calls."""

    def call(self, method: str, arguments: Sequence[Any], line: int) -> Any:
        """Returns the method's result."""


def tokens_of(source: str) -> list[Token]:
    """Returns the tokens of a source without its comments and directives."""
    found = []
    line = 1
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup or ""
        if kind in ("raw", "mark"):
            found.append(Token("text", match["raw"], line))
        elif kind in ("text", "character"):
            found.append(Token("text", _unescaped(match[kind]), line))
        elif kind != "space":
            found.append(Token(kind, match[kind], line))
        line += match[0].count("\n")
    return found


def _unescaped(text: str) -> str:
    """Returns the text of a literal. Bytes that are escaped one by one are UTF-8 together."""

    def character(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "xu" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPED.get(code, code)

    if not re.search(r"\\x[89a-fA-F]", text):
        return _ESCAPE.sub(character, text)
    return _ESCAPE.sub(character, text.encode().decode("latin-1")).encode("latin-1").decode()


def statements(tokens: Tokens) -> Iterator[Tokens]:
    """Yields the statements of a block: up to a `;`, or to the end of a block of their own."""
    at = start = 0
    while at < len(tokens):
        sign = tokens[at].value if tokens[at].kind == "sign" else ""
        if sign == ";":
            yield tokens[start : at + 1]
            start = at + 1
        elif sign in _PAIRS:
            is_block = sign == "{" and (at == start or _is_sign(tokens[at - 1], ")") or tokens[at - 1].value in _HEADS)
            at = end_of(tokens, at)
            if is_block:
                yield tokens[start : at + 1]
                start = at + 1
        at += 1


_HEADS = ("const", "else", "try")


def end_of(tokens: Tokens, at: int) -> int:
    """Returns the index of the sign that closes the one at an index."""
    depth = 0
    for index in range(at, len(tokens)):
        if tokens[index].kind == "sign":
            depth += (tokens[index].value in _PAIRS) - (tokens[index].value in _PAIRS.values())
            if depth == 0:
                return index
    raise UnreadableError(f"line {tokens[at].line}: {tokens[at].value!r} is not closed")


def function_of(statement: Tokens) -> tuple[str, Function] | None:
    """Returns the name of the function that a statement defines, and the function."""
    opening = next((index for index, token in enumerate(statement) if _is_sign(token, "(")), 0)
    if not opening or not _is_sign(statement[-1], "}"):
        return None
    closing = end_of(statement, opening)
    if not _is_sign(statement[closing + 1], "{") or statement[opening - 1].kind != "word":
        return None
    parameters = tuple(part[-1].value for part in _parts(statement[opening + 1 : closing]) if part)
    return statement[opening - 1].value, Function(parameters, statement[closing + 2 : -1])


def _parts(tokens: Tokens) -> Iterator[Tokens]:
    start = at = 0
    while at < len(tokens):
        if tokens[at].kind == "sign" and tokens[at].value in _PAIRS:
            at = end_of(tokens, at)
        elif _is_sign(tokens[at], ","):
            yield tokens[start:at]
            start = at + 1
        at += 1
    if start < len(tokens):
        yield tokens[start:]


def _is_sign(token: Token, value: str) -> bool:
    return token.kind == "sign" and token.value == value


class Reader:
    """Runs statements: declarations, assignments to fields, chains of calls, loops over lists."""

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]], constructors: Mapping[str, Callable[..., Any]]
    ) -> None:
        """Takes what the code calls, and the types whose variables it declares."""
        self._functions = functions
        self._constructors = constructors
        self._defined: dict[str, Function] = {}

    def run(self, tokens: Tokens, names: dict[str, Any]) -> None:
        """Runs the statements of a block, and adds what it declares to the names.

        Raises:
            UnreadableError: A statement calls `run` and cannot be read. Others that cannot be read are left out.
        """
        for statement in statements(tokens):
            try:
                self._run(statement, names)
            except UnreadableError:
                if any(token.value == "run" for token in statement):
                    raise

    def _run(self, statement: Tokens, names: dict[str, Any]) -> None:
        first = statement[0]
        if _is_sign(first, "{"):
            self.run(statement[1:-1], {**names})
        elif first.value == "for":
            self._loop(statement, names)
        elif first.value not in ("if", "else", "try", "catch", "throw", "class", "struct", "template"):
            if found := function_of(statement):
                self._defined[found[0]] = found[1]
            else:
                self._assign(statement, names)

    def _loop(self, statement: Tokens, names: dict[str, Any]) -> None:
        closing = end_of(statement, 1)
        head = statement[2:closing]
        colon = next((index for index, token in enumerate(head) if _is_sign(token, ":")), None)
        if colon is None:
            raise UnreadableError(f"line {statement[0].line}: a loop that is not over a list")
        for value in self.value(head[colon + 1 :], names):
            self.run(statement[closing + 2 : -1], {**names, head[colon - 1].value: value})

    def _assign(self, statement: Tokens, names: dict[str, Any]) -> None:
        body = statement[:-1] if _is_sign(statement[-1], ";") else statement
        equals = next((index for index, token in enumerate(body) if _is_sign(token, "=")), None)
        brace = next((index for index, token in enumerate(body) if token.kind == "sign" and token.value in "({"), None)
        if equals is not None and (brace is None or equals < brace):
            target, value = body[:equals], self.value(body[equals + 1 :], names)
            if len(target) > 2 and _is_sign(target[-2], "."):
                self._named(target[-3], names)[target[-1].value] = value
            else:
                names[target[-1].value] = self._constructed(target, value)
        elif brace and _is_sign(body[brace], "{") and body[brace - 1].kind == "word":
            names[body[brace - 1].value] = self._constructed(body[: brace - 1], self.value(body[brace:], names))
        elif len(body) == 2 and body[0].value in self._constructors:
            names[body[1].value] = self._constructors[body[0].value]([])
        else:
            self.value(body, names)

    def _constructed(self, declaration: Tokens, value: Any) -> Any:
        kinds = [token.value for token in declaration if token.value in self._constructors]
        if not kinds or not isinstance(value, list):
            return value
        is_list = any(token.value == "std::vector" for token in declaration)
        return value if is_list else self._constructors[kinds[0]](value)

    def value(self, tokens: Tokens, names: Names) -> Any:
        """Returns the value of an expression."""
        found, rest = self._sum(tokens, names)
        if rest:
            raise UnreadableError(f"line {rest[0].line}: {rest[0].value!r} is not expected")
        return found

    def _sum(self, tokens: Tokens, names: Names) -> tuple[Any, Tokens]:
        found, rest = self._chain(tokens, names)
        while rest and _is_sign(rest[0], "+"):
            other, rest = self._chain(rest[1:], names)
            found += other
        return found, rest

    def _chain(self, tokens: Tokens, names: Names) -> tuple[Any, Tokens]:
        found, rest = self._single(tokens, names)
        while rest and _is_sign(rest[0], "."):
            if len(rest) < 3 or not _is_sign(rest[2], "("):
                raise UnreadableError(f"line {rest[0].line}: a field is read")
            end = end_of(rest, 2)
            arguments = [self.value(part, names) for part in _parts(rest[3:end])]
            if not hasattr(found, "call"):
                raise UnreadableError(f"line {rest[0].line}: {rest[1].value} of what has no methods")
            found, rest = found.call(rest[1].value, arguments, rest[1].line), rest[end + 1 :]
        return found, rest

    def _single(self, tokens: Tokens, names: Names) -> tuple[Any, Tokens]:
        if not tokens:
            raise UnreadableError("an expression is missing")
        first = tokens[0]
        if first.kind == "text":
            size = next((index for index, token in enumerate(tokens) if token.kind != "text"), len(tokens))
            return "".join(token.value for token in tokens[:size]), tokens[size:]
        if first.kind == "number":
            return int(first.value), tokens[1:]
        if _is_sign(first, "{"):
            end = end_of(tokens, 0)
            return [self.value(part, names) for part in _parts(tokens[1:end])], tokens[end + 1 :]
        if first.kind != "word":
            raise UnreadableError(f"line {first.line}: {first.value!r} is not expected")
        if len(tokens) > 1 and _is_sign(tokens[1], "("):
            return self._called(tokens, names)
        return self._named(first, names), tokens[1:]

    def _called(self, tokens: Tokens, names: Names) -> tuple[Any, Tokens]:
        end = end_of(tokens, 1)
        name = tokens[0].value
        if name not in self._functions and name not in self._defined:
            raise UnreadableError(f"line {tokens[0].line}: the function {name} is unknown")
        arguments = [self.value(part, names) for part in _parts(tokens[2:end])]
        if name in self._functions:
            return self._functions[name](*arguments), tokens[end + 1 :]
        function = self._defined[name]
        self.run(function.body, {**names, **dict(zip(function.parameters, arguments, strict=True))})
        return None, tokens[end + 1 :]

    def _named(self, token: Token, names: Names) -> Any:
        if token.value in ("true", "false"):
            return token.value == "true"
        if token.value.isupper() or token.value.startswith("COMMON_"):
            return token.value
        if token.value not in names:
            raise UnreadableError(f"line {token.line}: {token.value} is unknown")
        return names[token.value]

    def call(self, name: str, names: dict[str, Any], *arguments: Any) -> None:
        """Calls a function that the code defines."""
        function = self._defined[name]
        self.run(function.body, {**names, **dict(zip(function.parameters, arguments, strict=True))})
