import pytest

from llm_inference_api.errors import CostlyFieldError, InvalidFieldError
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.requests.constraint import Constraint, Language
from tests.grammar.grammars import BYTES


def mask(source: str) -> TokenMask:
    return BYTES.mask(Constraint(Language.GBNF, source, "grammar"))


@pytest.mark.parametrize(
    ("source", "allowed", "excluded"),
    [
        ('root ::= "yes" | "no"', ["yes", "no"], ["ye", "maybe"]),
        ('root ::= item{2} ("," item)*\nitem ::= [a-c]+ # letters', ["aa", "abc,c"], ["a", "d"]),
        ('root ::= "(" root ")" | "x"', ["((x))"], ["((x)"]),
        (r'root ::= "\u00e4\U0001F600\x41\t"', ["ä😀A\t"], ["ä"]),
        (r"root ::= [\u0041-\u0043\]\\]+", ["ABC]\\"], ["D", "["]),
        ("root ::= [a&&b]+ [ -~]", ["a&b~"], ["~"]),
        ("root ::= [+--]", ["+", ",", "-"], ["."]),
    ],
)
def test_grammar_is_followed(source: str, allowed: list[str], excluded: list[str]) -> None:
    """GBNF means what it means to llama.cpp, also where Lark or Rust would read its characters otherwise."""
    found = mask(source)
    assert [text for text in [*allowed, *excluded] if found.matches(text)] == allowed


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ('x ::= "a"', "has no rule root"),
        ("root ::= a", "'a' not found"),
        ('root ::= "a', "Unexpected end of input"),
        ('root ::= !"a"', "Expected name"),
        ("root ::= " + "(" * 5000, "too many levels"),
    ],
)
def test_grammar_that_is_none_is_refused(source: str, problem: str) -> None:
    """What cannot be converted is refused by the field that has it, with the reason."""
    with pytest.raises(InvalidFieldError, match=f"^grammar: cannot be followed: .*{problem}"):
        mask(source)


def test_grammar_that_takes_too_long_to_convert_is_refused() -> None:
    """The conversion has limits, and what is behind it is prepared."""
    rules = [f"r{n} ::= " + " ".join([f"r{n + 1}"] * 2) for n in range(3000)]
    with pytest.raises((CostlyFieldError, InvalidFieldError)):
        mask("\n".join(["root ::= r0", *rules, 'r3000 ::= "a"']))
    assert mask('root ::= "a"').matches("a")
