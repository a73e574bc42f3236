import json
from dataclasses import replace

import pytest

from llm_inference_api.requests.events import CallPart, Piece, Text, Thought
from llm_inference_api.requests.tools import Tool, ToolCall, ToolUse
from llm_inference_api.text.families.answer_reader import answer_reader
from llm_inference_api.text.families.reader import Markup, size_of
from llm_inference_api.text.families.thoughts import Thoughts
from llm_inference_api.text.families.tool_format import ToolFormat

TOOLS = ToolUse((Tool("f", "", "{}"), Tool("g", "", "{}")))
CALLS = {
    ToolFormat.HERMES: '<tool_call>\n{"name": "f", "arguments": {"a": "<b>"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    ToolFormat.GENERIC: '<tool_call>{"name": "f", "arguments": {"a": "<b>"}}</tool_call>'
    '<tool_call>{"name": "g", "arguments": {}}</tool_call>',
    ToolFormat.LLAMA: '{"name": "f", "parameters": {"a": "<b>"}}; {"name": "g", "parameters": {}}',
    ToolFormat.MISTRAL: '[TOOL_CALLS][{"name": "f", "arguments": {"a": "<b>"}}, {"name": "g", "arguments": {}}]',
    ToolFormat.MISTRAL_ARGS: '[TOOL_CALLS]f[ARGS]{"a": "<b>"}[TOOL_CALLS]g[ARGS]{}',
}


def read(
    text: str,
    size: int,
    form: ToolFormat = ToolFormat.HERMES,
    use: ToolUse | None = TOOLS,
    thoughts: Thoughts = Thoughts.BEFORE,
) -> list[Piece | ToolCall]:
    """Returns the pieces of an answer that comes in parts of this size, with texts of one kind joined."""
    found = answer_reader(form, use, thoughts)
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    read = [piece for part in parts for piece in found.add(part, final=False)] + found.add("", final=True)
    assert sum(map(size_of, read)) == len(text)
    pieces = [piece for piece in read if not isinstance(piece, Markup)]
    joined: list[Piece | ToolCall] = []
    calls = 0
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, CallPart) and piece.id:
            assert piece.call == calls
            calls += 1
            joined.append(ToolCall("", piece.name, piece.arguments))
        elif isinstance(piece, CallPart):
            assert isinstance(last, ToolCall)
            assert piece.call == calls - 1
            joined[-1] = replace(last, arguments=last.arguments + piece.arguments)
        elif isinstance(last, (Text, Thought)) and type(last) is type(piece):
            joined[-1] = type(piece)(last.text + piece.text)
        else:
            joined.append(piece)
    return joined


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("form", list(ToolFormat))
def test_calls_are_found_in_each_familys_form(form: ToolFormat, size: int) -> None:
    """However the text is cut into deltas, the calls are the same."""
    assert read(CALLS[form], size, form) == [ToolCall("", "f", '{"a": "<b>"}'), ToolCall("", "g", "{}")]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("form", list(ToolFormat))
@pytest.mark.parametrize("text", ["", "hello", " hi \n", "a < b <tool", "{", "[TOOL", "see {x}"])
def test_words_are_content_to_the_last_character(form: ToolFormat, text: str, size: int) -> None:
    """Text that is no call is content, also where it ends like the beginning of one."""
    assert read(text, size, form) == ([Text(text)] if text else [])


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>no json</tool_call> and more",
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "f"}</tool_call>',
        '<tool_call>{"name": "f", "argu',
    ],
)
def test_what_looks_like_a_call_and_is_none_stays_content(text: str, size: int) -> None:
    """A broken or unknown call is shown, never swallowed."""
    assert read(text, size) == [Text(text)]


def test_words_before_a_call_lose_the_space_between() -> None:
    """The line break between words and a call belongs to neither."""
    assert read('Let me see.\n<tool_call>{"name": "g", "arguments": {}}</tool_call>\n', 1) == [
        Text("Let me see."),
        ToolCall("", "g", "{}"),
    ]


def test_call_without_its_end_marker_counts_where_it_is_complete() -> None:
    """Some models end the answer in the place of the closing marker."""
    assert read('<tool_call>\n{"name": "g", "arguments": {}}', 1) == [ToolCall("", "g", "{}")]


def test_only_the_chosen_tool_can_be_called() -> None:
    """Where a request names one tool, the others' calls are none."""
    use = ToolUse(TOOLS.tools, function="g")
    assert read(CALLS[ToolFormat.LLAMA], 1, ToolFormat.LLAMA, use) == [Text(CALLS[ToolFormat.LLAMA])]


def test_without_tools_nothing_is_a_call() -> None:
    """A chat about tool calls may show them."""
    text = CALLS[ToolFormat.HERMES]
    assert read(text, 1, use=None) == [Text(text)]


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_thoughts_come_apart_from_the_content(size: int) -> None:
    """What stands between the markers at the beginning is thought, and the line breaks around them nobody's."""
    assert read("<think>\na\n\nb\n</think>\n\nc\n", size, use=None) == [Thought("a\n\nb"), Text("c\n")]


@pytest.mark.parametrize("size", [1, 1000])
def test_template_may_have_opened_the_thoughts(size: int) -> None:
    """Models whose template ends with `<think>` begin inside."""
    assert read("a</think>b", size, use=None, thoughts=Thoughts.OPENED) == [Thought("a"), Text("b")]


def test_cut_thoughts_are_thoughts() -> None:
    """An answer that was cut while the model thought has no content."""
    assert read("<think>a</thi", 1, use=None) == [Thought("a</thi")]


def test_marker_inside_the_content_is_content() -> None:
    """Only an answer's beginning can be thoughts."""
    assert read("a <think>b</think>", 1, use=None) == [Text("a <think>b</think>")]


def test_calls_after_thoughts_are_found() -> None:
    """A model may think, then call."""
    text = "<think>x</think>\n" + CALLS[ToolFormat.GENERIC]
    assert read(text, 2)[0] == Thought("x")
    assert len(read(text, 2)) == 3


def test_arguments_are_json_text() -> None:
    """Arguments are handed on as JSON, with the characters that the model wrote."""
    (call,) = read('<tool_call>{"name":"f","arguments":{"ü":[1.0,null]}}</tool_call>', 1)
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"ü":[1.0,null]}'
    assert json.loads(call.arguments) == {"ü": [1.0, None]}


def test_arguments_stream_while_the_model_writes_them() -> None:
    """A long call is not silent until it ends."""
    found = answer_reader(ToolFormat.HERMES, TOOLS, Thoughts.BEFORE)
    begun = found.add('<tool_call>{"name": "f", "arguments": ', final=False) or found.add("{", final=False)
    assert isinstance(begun[2], CallPart)
    assert found.add('"a": "x', final=False) == [CallPart(0, arguments='"a": "x')]


def test_arguments_may_hold_what_looks_like_markup() -> None:
    """Braces, quotes and markers inside texts of the arguments end nothing."""
    arguments = '{"a": "}</tool_call>\\"{", "b": {"c": []}}'
    assert read(f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>', 1) == [
        ToolCall("", "f", arguments)
    ]


def test_call_that_is_cut_has_the_arguments_so_far() -> None:
    """An answer that ends at max_tokens inside a call shows it as far as it came."""
    assert read('<tool_call>{"name": "f", "arguments": {"a": 1', 3) == [ToolCall("", "f", '{"a": 1')]
