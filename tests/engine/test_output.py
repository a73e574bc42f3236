import pytest

from llm_inference_api.engine.output import OutputText


def whole(text: OutputText, pieces: list[bytes]) -> list[str]:
    return [*(text.add(piece) for piece in pieces), text.add(b"", final=True)]


def test_character_split_over_tokens_is_sent_whole() -> None:
    """No delta ends inside a character."""
    assert whole(OutputText(()), [b"\xf0\x9f", b"\x98", b"\x80!"]) == ["", "", "😀!", ""]


def test_character_that_never_completes_becomes_one_replacement() -> None:
    """The rest of a broken character is U+FFFD, once, at the end."""
    assert whole(OutputText(()), [b"a\xe4\xbd"]) == ["a", "\ufffd"]


def test_stop_string_across_tokens_is_not_sent() -> None:
    """Text that may begin a stop string waits; the stop string and what follows are dropped."""
    text = OutputText(["END"])
    assert [text.add(piece) for piece in (b"go E", b"N", b"D more", b"x")] == ["go ", "", "", ""]
    assert text.stopped


def test_held_text_that_is_no_stop_string_is_sent() -> None:
    """Nothing is lost when a beginning turns out to be something else."""
    assert "".join(whole(OutputText(["END"]), [b"E", b"N", b"E", b"N", b"d"])) == "ENENd"


def test_first_of_several_stop_strings_wins() -> None:
    """The text ends at the earliest stop string, whichever it is."""
    text = OutputText(["world", "lo w"])
    assert text.add(b"hello world") == "hel"


@pytest.mark.parametrize("stop", ["é", "日本"])
def test_stop_string_of_several_bytes(stop: str) -> None:
    """Stop strings are found when their characters come byte by byte."""
    text = OutputText([stop])
    sent = "".join(text.add(bytes([byte])) for byte in f"ab{stop}cd".encode())
    assert sent == "ab"


def test_stop_string_ends_a_restricted_text_only_where_it_is_complete() -> None:
    """Where not every text is a whole answer, a stop string inside an incomplete one is text."""
    output = OutputText(["}"], is_complete=lambda text: text == "{{}")
    assert [output.add(piece) for piece in (b"{{", b"}", b"}")] == ["{{", "}", ""]
    assert output.stopped
