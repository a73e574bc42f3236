import pytest

from llm_inference_api.engine.output import OutputText, Said
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.tools import Tool, ToolUse
from llm_inference_api.text.families.form import GENERIC
from llm_inference_api.text.families.reading.answer_reader import answer_reader
from llm_inference_api.text.families.thoughts import Thoughts
from tests.text.families.reading.answer_forms import GLM


def whole(text: OutputText, pieces: list[bytes]) -> list[str]:
    return [*(text.add(piece).text for piece in pieces), text.add(b"", final=True).text]


def test_character_split_over_tokens_is_sent_whole() -> None:
    """No delta ends inside a character."""
    assert whole(OutputText(()), [b"\xf0\x9f", b"\x98", b"\x80!"]) == ["", "", "😀!", ""]


def test_character_that_never_completes_becomes_one_replacement() -> None:
    """The rest of a broken character is U+FFFD, once, at the end."""
    assert whole(OutputText(()), [b"a\xe4\xbd"]) == ["a", "\ufffd"]


def test_stop_string_across_tokens_is_not_sent() -> None:
    """Text that may begin a stop string waits; the stop string and what follows are dropped."""
    text = OutputText(["END"])
    assert [text.add(piece).text for piece in (b"go E", b"N", b"D more", b"x")] == ["go ", "", "", ""]
    assert text.stopped


def test_held_text_that_is_no_stop_string_is_sent() -> None:
    """Nothing is lost when a beginning turns out to be something else."""
    assert "".join(whole(OutputText(["END"]), [b"E", b"N", b"E", b"N", b"d"])) == "ENENd"


def test_first_of_several_stop_strings_wins() -> None:
    """The text ends at the earliest stop string, whichever it is."""
    text = OutputText(["world", "lo w"])
    assert text.add(b"hello world").text == "hel"


@pytest.mark.parametrize("stop", ["é", "日本"])
def test_stop_string_of_several_bytes(stop: str) -> None:
    """Stop strings are found when their characters come byte by byte."""
    text = OutputText([stop])
    sent = "".join(text.add(bytes([byte])).text for byte in f"ab{stop}cd".encode())
    assert sent == "ab"


def test_stop_string_ends_a_restricted_text_only_where_it_is_complete() -> None:
    """Where not every text is a whole answer, a stop string inside an incomplete one is text."""
    output = OutputText(["}"], is_complete=lambda text: text == "{{}")
    assert [output.add(piece).text for piece in (b"{{", b"}", b"}")] == ["{{", "}", ""]
    assert output.stopped


def scored(token: int) -> TokenLogprob:
    return TokenLogprob(token, b"", -0.5, ())


def said(output: OutputText, pieces: list[bytes]) -> list[Said]:
    """Returns what each token adds, the number of which is its index."""
    last = len(pieces) - 1
    return [output.add(piece, final=at == last, logprob=scored(at)) for at, piece in enumerate(pieces)]


def tokens(found: list[Said]) -> list[int]:
    return [entry.token_id for one in found for entry in one.logprobs]


def thinking(stop: list[str], use: ToolUse | None = None) -> OutputText:
    return OutputText(stop, reader=answer_reader(GENERIC, use, Thoughts.BEFORE))


def test_stop_string_in_the_thoughts_is_a_thought() -> None:
    """It ends what is said: one that every chain of thoughts has would silence the model."""
    output = thinking(["\n\n"])
    found = said(output, [b"<think>", b"a\n\n", b"b", b"</think>\n\n", b"Yes", b"\n", b"\nNo"])
    assert "".join(one.thought for one in found) == "a\n\nb"
    assert "".join(one.text for one in found) == "Yes"
    assert output.stopped


def test_stop_string_in_a_call_is_an_argument() -> None:
    """A call is not cut: what follows it may end the answer."""
    use = ToolUse((Tool("f", "", "{}"),))
    output = thinking(["}"], use)
    found = said(output, [b'<tool_call>\n{"name": "f", "arguments": {"a": {}}}\n</tool_call>', b" x}", b"y"])
    assert "".join(part.arguments for one in found for part in one.calls) == '{"a": {}}'
    assert "".join(one.text for one in found) == " x"


def test_no_stop_string_extends_over_a_call() -> None:
    """What stands on both sides of a call was not said in one go."""
    use = ToolUse((Tool("f", "", "{}"),))
    output = thinking(["ab"], use)
    found = said(output, [b"a", b'<tool_call>{"name": "f", "arguments": {}}</tool_call>', b"b"])
    assert "".join(one.text for one in found) == "ab"


def test_logprobs_of_thoughts_and_markers_are_left_out() -> None:
    """The tokens are those of the content."""
    found = said(thinking([]), [b"<think>", b"hm", b"</think>", b"\n\n", b"Yes", b"!"])
    assert tokens(found) == [4, 5]


def test_logprobs_of_calls_are_left_out() -> None:
    """A call's name and arguments are no content, nor is what stands around them."""
    use = ToolUse((Tool("f", "", "{}"),))
    call = [b"<tool_call>", b'{"name": "f", ', b'"arguments": {}}', b"</tool_call>"]
    assert tokens(said(thinking([], use), [b"Hi", b" ", *call])) == [0]


def test_logprobs_of_words_behind_converted_arguments_are_theirs() -> None:
    """A call's arguments may be longer than what the model has written, or shorter."""
    output = OutputText([], reader=answer_reader(GLM, ToolUse((Tool("f", "", "{}"),)), Thoughts.BEFORE))
    call = [b"<tool_call>", b"f<arg_key>a</arg_key>", b"<arg_value>", b'"\n"', b"</arg_value>", b"</tool_call>"]
    found = said(output, [*call, b" Done", b"."])
    assert "".join(part.arguments for one in found for part in one.calls) == '{"a": "\\"\\n\\""}'
    assert tokens(found) == [6, 7]


def test_logprobs_of_a_stop_string_are_left_out() -> None:
    """A token is the text's if the text has one of its characters."""
    assert tokens(said(OutputText([" 4"]), [b"The", b" answer", b" is", b" 4", b"."])) == [0, 1, 2]
    assert tokens(said(OutputText([" 4"]), [b"The", b" is ", b"4", b"."])) == [0, 1]
    assert tokens(said(OutputText(["END"]), [b"a", b"E", b"N", b"d"])) == [0, 1, 2, 3]


def test_logprobs_of_parts_of_a_character_are_those_of_its_text() -> None:
    """Each token that a character is made of counts, and is sent with the character."""
    found = said(OutputText([]), [b"a", b"\xf0\x9f", b"\x98", b"\x80", b"b"])
    assert [len(one.logprobs) for one in found] == [1, 0, 0, 3, 1]
    assert tokens(said(OutputText([]), [b"a", b"\xf0\x9f"])) == [0, 1]


def test_broken_character_belongs_to_its_own_tokens() -> None:
    """The token after it, which shows that it is broken, is not its own."""
    assert tokens(said(OutputText(["K"]), [b"a", b"\xf0", b"K"])) == [0, 1]
    assert tokens(said(OutputText([]), [b"a", b"\xf0", b"\xf0", b"b"])) == [0, 1, 2, 3]


def test_token_without_text_has_no_logprob() -> None:
    """Control tokens, such as the end token, are no part of the text."""
    assert tokens(said(OutputText([]), [b"a", b"", b"b", b""])) == [0, 2]


def test_stop_string_after_thoughts_waits_for_a_complete_text() -> None:
    """Whether a restricted answer is complete is asked of all of it, thoughts included."""
    reader = answer_reader(GENERIC, None, Thoughts.BEFORE)
    output = OutputText(["}"], is_complete=lambda text: text == "<think>}</think>{{}", reader=reader)
    found = said(output, [b"<think>}", b"</think>", b"{{", b"}", b"}"])
    assert [one.text for one in found] == ["", "", "{{", "}", ""]
    assert output.stopped
