from tests.grammar.grammars import bytes_and

KNOWN = bytes_and(("<a>", "<a>b", "<stop>"), ("<stop>",))


def test_text_is_split_at_special_tokens() -> None:
    """At the longest of them."""
    assert KNOWN.terminal("x<a>y") == '"x" <[256]> "y"'
    assert KNOWN.terminal("<a>b") == "<[257]>"
    assert KNOWN.terminal('"\n') == '"\\"\\n"'


def test_text_ends_where_the_answer_does() -> None:
    """A token that ends it is `""`."""
    assert KNOWN.terminal("x<stop>y") == '"x" ""'


def test_tokens_of_a_text() -> None:
    """Special ones among them."""
    assert KNOWN.tokens("x<a>") == [ord("x"), 256]
