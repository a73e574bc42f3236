import pytest

from llm_inference_api.grammar.lark import ANY, KEY, Lark, TooLargeError, choice, row
from llm_inference_api.requests.constraint import Constraint, Language
from tests.grammar.grammars import bytes_and

KNOWN = bytes_and(("<open>", "<close>", "<stop>"), ("<stop>",))


def fits(lark: Lark, start: str, text: str) -> bool:
    return KNOWN.mask(Constraint(Language.LARK, lark.source(start), "lark")).matches(text)


@pytest.mark.parametrize(
    ("literal", "texts"),
    [
        ("a/b", ["a/b"]),
        ("\\d.*\"'~&#-", ["\\d.*\"'~&#-"]),
        ("x\n  y z", ["x\n  y z", "xyz", "x y z", "x\n\ny z"]),
        ("<open>a <close>", ["<open>a <close>", "<open>a<close>"]),
        (" \n", [" \n", "", "\n"]),
        ("日本\x7f", ["日本\x7f"]),
    ],
)
def test_literal_is_written_with_its_white_space_or_without(literal: str, texts: list[str]) -> None:
    """Signs of regular expressions mean themselves; special tokens are told apart from text."""
    lark = Lark(KNOWN.terminal)
    start = f'"_" {lark.literal(literal)} "_"'
    assert [text for text in texts if not fits(lark, start, f"_{text}_")] == []
    assert not fits(lark, start, f"_{literal}!_")


@pytest.mark.parametrize(
    ("literal", "text", "is_begun"),
    [
        ('<tool_call>\n{"name": "', "hello <tool_call>", True),
        ('<tool_call>\n{"name": "', "hello <tool_call", False),
        ("<open>x", "hello <open>", True),
        ('<function name="', "a <function of", False),
        ('<function name="', 'a <function name="', True),
        ("Action:\n[", "Action: none", False),
        ("Action:\n[", "Action: [", True),
        ("\n\n<calls>", "x<calls>", True),
    ],
)
def test_literal_begins_with_its_marker(literal: str, text: str, is_begun: bool) -> None:  # noqa: FBT001 - a case
    """Behind any text: a token, or a word between signs; else all of it."""
    lark = Lark(KNOWN.terminal)
    head, _ = lark.lead(literal)
    assert fits(lark, head, text) == is_begun


@pytest.mark.parametrize("closing", ["</p>", "\n</p>\n", "<close>", "<close>x"])
def test_text_ends_at_the_first_match_of_a_literal(closing: str) -> None:
    """What follows is no part of it."""
    lark = Lark(KNOWN.terminal)
    start = f'{lark.up_to(lark.text, closing)} "!"'
    assert fits(lark, start, f"a<p>\n{closing}!")
    assert fits(lark, start, f"{closing}!")
    assert not fits(lark, start, f"a{closing}b{closing}!")


def test_token_that_ends_the_answer_is_no_text() -> None:
    """Nor is what would follow it."""
    lark = Lark(KNOWN.terminal)
    assert lark.ends("x<stop>y")
    assert not lark.ends("x<close>y")
    assert lark.literal("x<stop>y") == '"x"'


def test_name_that_is_not_known_is_none_of_the_others() -> None:
    """Though it begins like one of them."""
    lark = Lark(KNOWN.terminal)
    start = choice(['"<p=ab>"', lark.literal(f"<p={KEY}>", "[a-z]+", ["ab"])])
    assert all(fits(lark, start, f"<p={name}>") for name in ("ab", "a", "abc", "xyz"))
    other = lark.literal(f"<p={KEY}>", "[a-z]+", ["ab"])
    assert not fits(lark, other, "<p=ab>")


def test_equal_rules_are_written_once() -> None:
    """A grammar of many functions has many of them."""
    lark = Lark(KNOWN.terminal)
    assert lark.rule('"a" "b"') == lark.rule('"a" "b"')
    assert lark.terminal(ANY) == lark.text
    assert lark.source("x").count('"a" "b"') == 1


def test_choice_with_an_empty_part_may_be_nothing() -> None:
    """Parts that are the same count once."""
    assert choice(['"a"', '"a"']) == '"a"'
    assert choice(['"a"', ""]) == '("a")?'
    assert choice(['"a"', '"b"', ""]) == '(("a" | "b"))?'
    assert row("", '"a"', "") == '"a"'


def test_grammar_that_is_too_large_is_refused() -> None:
    """It would take the service's time."""
    lark = Lark(KNOWN.terminal)
    lark.rule(f'"{"a" * 4_000_000}"')
    with pytest.raises(TooLargeError):
        lark.source("x")
