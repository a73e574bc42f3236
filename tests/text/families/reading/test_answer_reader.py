import json
import time
from dataclasses import replace

import pytest

from llm_inference_api.requests.events import CallPart, Piece, Text, Thought
from llm_inference_api.requests.tools import Tool, ToolCall, ToolMode, ToolUse
from llm_inference_api.text.families.form import GENERIC, Form
from llm_inference_api.text.families.reading.answer_reader import answer_reader
from llm_inference_api.text.families.reading.reader import Part
from llm_inference_api.text.families.thoughts import Thoughts
from tests.text.families.reading.answer_forms import (
    COMMAND_R7B,
    DSML,
    FORMS,
    FUNCTIONARY,
    GEMMA,
    GLM,
    HARMONY,
    HERMES,
    KIMI,
    KIMI_K3,
    LFM2,
    LLAMA,
    MISTRAL,
    MISTRAL_ID,
    QWEN_CODER,
    SEED,
    TOOLS,
    call,
    read,
    without_ids,
)

SIZES = pytest.mark.parametrize("size", [1, 3, 10_000])
TWO_CALLS = {
    "HERMES": '<tool_call>\n{"name": "f", "arguments": {"a": "<b>"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    "LLAMA": '{"name": "f", "parameters": {"a": "<b>"}}; {"name": "g", "parameters": {}}',
    "MISTRAL": '[TOOL_CALLS][{"name": "f", "arguments": {"a": "<b>"}, "id": "123456789"}, '
    '{"name": "g", "arguments": {}, "id": "abcdefghi"}]',
    "MISTRAL_ARGS": '[TOOL_CALLS]f[ARGS]{"a": "<b>"}[TOOL_CALLS]g[ARGS]{}',
    "MISTRAL_ID": '[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a": "<b>"}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{}',
    "QWEN_CODER": "<tool_call>\n<function=f>\n<parameter=a>\n<b>\n</parameter>\n</function>\n</tool_call>\n"
    "<tool_call>\n<function=g>\n</function>\n</tool_call>",
    "SEED": "<seed:tool_call>\n<function=f>\n<parameter=a><b></parameter>\n</function>\n</seed:tool_call>\n"
    "<seed:tool_call>\n<function=g>\n</function>\n</seed:tool_call>",
    "GLM": "<tool_call>f<arg_key>a</arg_key><arg_value><b></arg_value></tool_call><tool_call>g</tool_call>",
    "DSML": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="a" string="true"><b>'
    '</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name="g">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>',
    "KIMI": '<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"a": "<b>"}'
    "<|tool_call_end|><|tool_call_begin|>functions.g:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
    "<|tool_calls_section_end|>",
    "LFM2": '<|tool_call_start|>[f(a="<b>"), g()]<|tool_call_end|>',
    "GEMMA": '<|tool_call>call:f{a:<|"|><b><|"|>}<tool_call|><|tool_call>call:g{}<tool_call|>',
    "MINIMAX_M3": ']<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name="f">]<]minimax[>[<a><b>]<]minimax[>[</a>'
    ']<]minimax[>[</invoke>\n]<]minimax[>[<invoke name="g">]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>',
    "MINICPM": '<function name="f"><param name="a"><b></param></function>\n<function name="g"></function>',
    "COMMAND_R7B": '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "f", "parameters": {"a": "<b>"}},\n'
    '    {"tool_call_id": "1", "tool_name": "g", "parameters": {}}\n]<|END_ACTION|>',
    "HARMONY": '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": "<b>"}<|call|>'
    "<|start|>assistant to=functions.g<|channel|>analysis<|message|>{}<|call|>",
    "FUNCTIONARY": 'f\n{"a": "<b>"}>>>g\n{}',
    "KIMI_K3": '<|open|>tools<|sep|><|open|>call tool="f" index="1"<|sep|><|open|>argument key="a" type="string"<|sep|>'
    '<b><|close|>argument<|sep|><|close|>call<|sep|><|open|>call tool="g" index="2"<|sep|><|close|>call<|sep|>'
    "<|close|>tools<|sep|><|close|>message<|sep|>",
}
"""An answer with two calls in each form."""
CALLS = [call("f", '{"a": "<b>"}'), call("g", "{}")]
MARKED = {"COMMAND_R7B", "HARMONY", "FUNCTIONARY", "KIMI_K3"}
"""Forms whose content has markers."""
THINKING = [name for name, form in FORMS.items() if form.thoughts]


def of(name: str) -> Form:
    return FORMS[name]


def test_each_form_has_its_calls_here() -> None:
    """No form is left out of the tables."""
    assert set(TWO_CALLS) == set(FORMS)


@SIZES
@pytest.mark.parametrize("name", FORMS)
def test_calls_are_found_in_each_form(name: str, size: int) -> None:
    """However the text is cut into deltas, the calls are the same."""
    assert without_ids(read(of(name), TWO_CALLS[name], size)) == CALLS


@SIZES
@pytest.mark.parametrize("name", sorted(set(FORMS) - MARKED - {"LLAMA"}))
def test_words_before_calls_are_content_and_the_space_between_is_nobodys(name: str, size: int) -> None:
    """A model may say what it is about to do."""
    assert without_ids(read(of(name), f"Let me see.\n{TWO_CALLS[name]}\n", size)) == [Text("Let me see."), *CALLS]


@SIZES
@pytest.mark.parametrize("name", sorted(set(FORMS) - MARKED - {"LLAMA"}))
def test_words_between_and_behind_calls_are_content(name: str, size: int) -> None:
    """A model may go on, and call again."""
    once = TWO_CALLS[name]
    text = f"{once}\nAnd again.\n{once} Done."
    assert without_ids(read(of(name), text, size)) == [*CALLS, Text("\nAnd again."), *CALLS, Text(" Done.")]


@SIZES
@pytest.mark.parametrize("name", THINKING)
def test_calls_after_thoughts_are_found(name: str, size: int) -> None:
    """A model may think, then call."""
    block = of(name).thoughts[0]
    text = f"{block.opening}hm\n\nhm{block.closing}{of(name).between}{TWO_CALLS[name]}"
    assert without_ids(read(of(name), text, size)) == [Thought("hm\n\nhm"), *CALLS]


@SIZES
@pytest.mark.parametrize("name", sorted(set(THINKING) - MARKED))
def test_thoughts_may_stand_between_calls(name: str, size: int) -> None:
    """A model may think about what it calls next."""
    block, once = of(name).thoughts[0], TWO_CALLS[name]
    text = f"{once}\n{block.opening}hm{block.closing}{once}"
    assert without_ids(read(of(name), text, size)) == [*CALLS, Thought("hm"), *CALLS]


@SIZES
@pytest.mark.parametrize("name", THINKING)
def test_empty_thoughts_are_none(name: str, size: int) -> None:
    """Some models write the markers alone."""
    block = of(name).thoughts[0]
    text = f"{block.opening}\n \n{block.closing}{of(name).between}{TWO_CALLS[name]}"
    assert without_ids(read(of(name), text, size)) == CALLS


@SIZES
@pytest.mark.parametrize("name", sorted(set(THINKING) - MARKED))
def test_template_may_have_opened_the_thoughts(name: str, size: int) -> None:
    """Models whose prompt ends with the marker begin inside."""
    text = f"hm{of(name).thoughts[0].closing}Hi"
    assert read(of(name), text, size, thoughts=Thoughts.OPENED) == [Thought("hm"), Text("Hi")]


@SIZES
@pytest.mark.parametrize("name", THINKING)
def test_calls_in_thoughts_that_are_closed_are_thoughts(name: str, size: int) -> None:
    """A model may think about a call before it makes one."""
    block, once = of(name).thoughts[0], TWO_CALLS[name]
    text = f"{block.opening}Shall I {once} now{block.closing}{of(name).between}{once}"
    assert without_ids(read(of(name), text, size)) == [Thought(f"Shall I {once} now"), *CALLS]


@SIZES
@pytest.mark.parametrize("name", sorted(set(THINKING) - {"FUNCTIONARY"}))
def test_calls_that_end_an_answer_end_its_thoughts(name: str, size: int) -> None:
    """Some models forget to close their thoughts before they call."""
    text = f"{of(name).thoughts[0].opening}I call.\n{TWO_CALLS[name]}"
    assert without_ids(read(of(name), text, size)) == [Thought("I call."), *CALLS]


@SIZES
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("text", ["", "hello", " hi \n", "a < b <tool", "{", "[TOOL", "see {x}", "[x](y)", "f", "f("])
def test_words_are_content_to_the_last_character(name: str, text: str, size: int) -> None:
    """Text that is no call is content, also where it ends like the beginning of one."""
    assert read(of(name), text, size) == ([Text(text)] if text else [])


@SIZES
@pytest.mark.parametrize("name", FORMS)
def test_calls_of_unknown_functions_stay_text(name: str, size: int) -> None:
    """What cannot be called is shown, never swallowed: as content, or as thoughts where it names a recipient."""
    use = ToolUse((Tool("h", "", "{}"),))
    found = read(of(name), TWO_CALLS[name], size, use)
    assert not any(isinstance(piece, ToolCall) for piece in found)
    assert "<b>" in "".join(piece.text for piece in found if isinstance(piece, Text | Thought))


@SIZES
@pytest.mark.parametrize("name", sorted(set(FORMS) - {"FUNCTIONARY"}))
def test_without_tools_nothing_is_a_call(name: str, size: int) -> None:
    """A chat about tool calls may show them."""
    found = read(of(name), TWO_CALLS[name], size, None)
    assert not any(isinstance(piece, ToolCall) for piece in found)


@pytest.mark.parametrize("name", FORMS)
def test_cut_answers_show_no_pieces_of_markers_behind_a_call(name: str) -> None:
    """Where the answer ends, at `max_tokens` or else, the calls have what they have; no marker becomes content."""
    text = TWO_CALLS[name]
    whole = read(of(name), text, 10_000)
    first = next(end for end in range(len(text)) if read(of(name), text[:end], 10_000) != [Text(text[:end])] and end)
    for end in range(first, len(text)):
        found = read(of(name), text[:end], 10_000)
        assert not [piece for piece in found if isinstance(piece, Text)], text[:end]
        for cut, full in zip(found, whole, strict=False):
            assert isinstance(cut, ToolCall)
            assert isinstance(full, ToolCall)
            assert full.arguments.startswith(cut.arguments)


@pytest.mark.parametrize("name", FORMS)
def test_cut_answers_of_calls_alone_show_no_pieces_of_markers(name: str) -> None:
    """An answer that must be calls has no words, wherever its limit cuts it."""
    use = replace(TOOLS, mode=ToolMode.REQUIRED)
    for end in range(len(TWO_CALLS[name])):
        found = read(of(name), TWO_CALLS[name][:end], 10_000, use)
        assert not [piece for piece in found if isinstance(piece, Text)], found


@pytest.mark.parametrize("name", FORMS)
def test_answers_are_read_alike_in_any_pieces(name: str) -> None:
    """Wherever an answer is cut, the same is read from a part of it at once and character by character."""
    text = f"Well.\n{TWO_CALLS[name]} and\n{TWO_CALLS[name]}\n"
    for end in range(0, len(text), 3):
        at_once, slowly = read(of(name), text[:end], 10_000), read(of(name), text[:end], 1)
        assert without_ids(at_once) == without_ids(slowly)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>no json</tool_call> and more",
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "f"}</tool_call>',
        '<tool_call>{"nam',
        '<tool_call>{"name": "f',
    ],
)
@SIZES
def test_what_looks_like_a_call_and_is_none_stays_content(text: str, size: int) -> None:
    """A broken call is shown, never swallowed."""
    assert read(HERMES, text, size) == [Text(text)]


@SIZES
def test_call_that_is_cut_behind_its_name_is_a_call(size: int) -> None:
    """Nobody takes half a call for words."""
    assert without_ids(read(HERMES, '<tool_call>{"name": "f", "argu', size)) == [call("f", "")]


@SIZES
def test_call_after_a_broken_one_is_found(size: int) -> None:
    """A model may try again."""
    text = '<tool_call>{"name": "x"}</tool_call><tool_call>{"name": "g", "arguments": {}}</tool_call>'
    assert without_ids(read(HERMES, text, size)) == [Text('<tool_call>{"name": "x"}</tool_call>'), call("g", "{}")]


@SIZES
@pytest.mark.parametrize(
    ("form", "text"),
    [
        (HERMES, '<tool_call>\n{"name": "g", "arguments": {}}'),
        (HERMES, '<tool_call>{ "name":"g" ,\n "arguments" : { }\n}</tool_call>'),
        (HERMES, '<tool_call>{"name": "g", "arguments": {}</tool_call>'),
        (HERMES, '<tool_call>{"name": "g", "arguments": {}}}</tool_call>'),
        (HERMES, '<tool_call>{"name": "g", "parameters": {}}</tool_call>'),
        (LLAMA, '  {"name": "g", "parameters": {}}'),
        (LLAMA, '<|python_tag|>{"name": "g", "parameters": {}}'),
        (MISTRAL, '[TOOL_CALLS] [{"name": "g", "arguments": {}}]'),
        (MISTRAL, '[TOOL_CALLS][{"name": "g", "arguments": {}}'),
        (MISTRAL_ID, "[TOOL_CALLS]g[ARGS]{}"),
        (DSML, '<｜DSML｜invoke name="g"></｜DSML｜invoke>'),
        (DSML, '<｜DSML｜function_calls>\n\n<｜DSML｜invoke name="g">\n\n</｜DSML｜invoke></｜DSML｜function_calls>'),
        (SEED, "<function=g></function></seed:tool_call>"),
        (COMMAND_R7B, '<|START_ACTION|>[{"tool_call_id": "0","tool_name": "g","parameters": {}} ] <|END_ACTION|>'),
        (COMMAND_R7B, '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "g", "parameters": {}}<|END_ACTION|>'),
        (QWEN_CODER, "<function=g>\n</function>\n</tool_call>"),
        (QWEN_CODER, "<tool_call><function=g></function>"),
        (GLM, "<tool_call>g\n</tool_call>"),
        (KIMI, "<|tool_call_begin|>functions.g:0<|tool_call_argument_begin|>{}"),
        (LFM2, "<|tool_call_start|>[ g( ) ]<|tool_call_end|>"),
        (GEMMA, "<|tool_call>call:g{ }<tool_call|>"),
    ],
)
def test_calls_are_read_with_leniency(form: Form, text: str, size: int) -> None:
    """Models write white space otherwise than their template, and leave out markers."""
    found = without_ids(read(form, text, size))
    assert [json.loads(piece.arguments) if isinstance(piece, ToolCall) else piece for piece in found] == [{}]


def test_only_the_chosen_tool_can_be_called() -> None:
    """Where a request names one tool, the others' calls are none."""
    use = ToolUse(TOOLS.tools, function="g")
    text = '{"name": "f", "parameters": {}}'
    assert read(LLAMA, text, 1, use) == [Text(text)]


@SIZES
def test_names_with_dots_and_names_that_begin_alike_are_told_apart(size: int) -> None:
    """The whole name counts."""
    use = ToolUse(tuple(Tool(name, "", "{}") for name in ("get", "get_time", "Calendar.get")))
    text = "<|tool_call_start|>[get_time(a=1), get(a=2), Calendar.get(a=3)]<|tool_call_end|>"
    assert without_ids(read(LFM2, text, size, use)) == [
        call("get_time", '{"a": 1}'),
        call("get", '{"a": 2}'),
        call("Calendar.get", '{"a": 3}'),
    ]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("MISTRAL", ["123456789", "abcdefghi"]),
        ("MISTRAL_ID", ["123456789", "abcdefghi"]),
        ("COMMAND_R7B", ["0", "1"]),
        ("KIMI", ["functions.f:0", "functions.g:1"]),
    ],
)
@SIZES
def test_ids_are_those_that_the_model_writes(name: str, ids: list[str], size: int) -> None:
    """Its template shows them again, with the results."""
    found = read(of(name), TWO_CALLS[name], size)
    assert [piece.id for piece in found if isinstance(piece, ToolCall)] == ids


def test_calls_without_an_id_get_new_ones() -> None:
    """Nine letters and digits, as Mistral's templates require."""
    first, second = read(HERMES, TWO_CALLS["HERMES"])
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id != second.id
    assert len(first.id) == len(second.id) == 9
    assert (first.id + second.id).isalnum()


def test_call_without_its_end_marker_counts_where_it_is_complete() -> None:
    """Some models end the answer in the place of the closing marker."""
    assert without_ids(read(HERMES, '<tool_call>\n{"name": "g", "arguments": {}}')) == [call("g", "{}")]


@SIZES
def test_thoughts_come_apart_from_the_content(size: int) -> None:
    """What stands between the markers at the beginning is thought, and the line breaks around them nobody's."""
    found = read(HERMES, "\n<think>\na\n\nb\n</think>\n\nc\n", size, use=None)
    assert found == [Thought("a\n\nb"), Text("c\n")]


@SIZES
@pytest.mark.parametrize(
    ("thoughts", "text", "found"),
    [
        (Thoughts.BEFORE, "</think>a", [Text("a")]),
        (Thoughts.OPENED, "\n\na\n\n\n</think>\n\nb", [Thought("a"), Text("b")]),
        (Thoughts.OPENED, "</think>b", [Text("b")]),
        (Thoughts.INSIDE, "\na</think>b", [Thought("\na"), Text("b")]),
        (Thoughts.CLOSED, "\n\na", [Text("a")]),
        (Thoughts.CLOSED, "<think>a</think>", [Text("<think>a</think>")]),
        (Thoughts.AFTER, "\na", [Text("\na")]),
        (Thoughts.AFTER, "<think>a</think>", [Text("<think>a</think>")]),
        (Thoughts.BEFORE, "a <think>b</think>", [Text("a <think>b</think>")]),
    ],
)
def test_thoughts_stand_where_the_prompt_leaves_room_for_them(
    thoughts: Thoughts, text: str, found: list[Piece], size: int
) -> None:
    """In the content, they are the author's words."""
    assert read(HERMES, text, size, thoughts=thoughts) == found


@SIZES
def test_markers_that_are_control_tokens_count_wherever_they_stand(size: int) -> None:
    """Nobody writes them by chance."""
    text = "<|channel>thought\n<channel|>Hello!<|channel>thought\n<channel|><channel|>"
    assert read(GEMMA, text, size) == [Text("Hello!")]


def test_cut_thoughts_are_thoughts() -> None:
    """An answer that was cut while the model thought has no content."""
    assert read(HERMES, "<think>a</thi", 1, use=None) == [Thought("a</thi")]


@SIZES
@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        (COMMAND_R7B, "<|START_RESPONSE|>Hi,\nyou\n<|END_RESPONSE|>", [Text("Hi,\nyou\n")]),
        (
            COMMAND_R7B,
            "<|START_THINKING|>hm<|END_THINKING|>\n<|START_RESPONSE|>Hi<|END_RESPONSE|>\n",
            [Thought("hm"), Text("Hi")],
        ),
        (COMMAND_R7B, "<|START_RESPONSE|>Hi <|START_ACTION|>", [Text("Hi <|START_ACTION|>")]),
        (COMMAND_R7B, "Hi there", [Text("Hi there")]),
        (COMMAND_R7B, "<|START_RESPONSE|>Hi<|END_RESPONSE|> there", [Text("Hi there")]),
        (HARMONY, "<|channel|>final<|message|>Hi", [Text("Hi")]),
        (HARMONY, "<|channel|>commentary<|message|>Hi<|end|>", [Text("Hi")]),
        (
            HARMONY,
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
            [Thought("hm"), Text("Hi")],
        ),
        (
            HARMONY,
            (
                "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>analysis<|message|>oh<|end|>"
                "<|start|>assistant<|channel|>commentary<|message|>Well.<|end|><|start|>assistant to=functions.g"
                "<|channel|>commentary <|constrain|>json<|message|>{}"
            ),
            [Thought("hmoh"), Text("Well."), call("g", "{}")],
        ),
        (
            HARMONY,
            (
                "<|start|>assistant to=container.exec<|channel|>commentary<|message|>ls<|call|>"
                "<|start|>assistant<|channel|>analysis to=python code<|message|>1<|end|>"
                "<|start|>assistant<|channel|>final<|message|>Hi to=you<|return|>"
            ),
            [Thought("ls1"), Text("Hi to=you")],
        ),
        (
            HARMONY,
            (
                "<|channel|>commentary to=assistant<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
                "<|channel|>commentary to=functions.g<|message|>{}"
            ),
            [Thought("hm"), call("g", "{}")],
        ),
        (HARMONY, f"<|channel|>commentary to={300 * 'x'}", [Thought(300 * "x")]),
        (HARMONY, "<|channel|>commentary to=pyth", []),
        (FUNCTIONARY, "all\nHi,\nyou", [Text("Hi,\nyou")]),
        (FUNCTIONARY, "all\nHi>>>g\n{}", [Text("Hi"), call("g", "{}")]),
        (
            KIMI_K3,
            "<|open|>response<|sep|>Close the message.<|close|>response<|sep|><|close|>message<|sep|>",
            [Text("Close the message.")],
        ),
    ],
)
def test_content_with_markers_is_read(form: Form, text: str, found: list[Piece], size: int) -> None:
    """What stands outside of the markers is markup if it is the form's, else content too."""
    assert without_ids(read(form, text, size)) == found


@SIZES
def test_content_with_markers_may_have_begun_in_the_prompt(size: int) -> None:
    """Then its closing marker is to come."""
    found = read(COMMAND_R7B, "lo\n<|END_RESPONSE|>", size, thoughts=Thoughts.AFTER)
    assert found == [Text("lo\n")]


def test_arguments_are_json_text() -> None:
    """Arguments are handed on as JSON, with the characters that the model wrote."""
    (found,) = read(HERMES, '<tool_call>{"name":"f","arguments":{"ü":[1.0,null]}}</tool_call>')
    assert isinstance(found, ToolCall)
    assert found.arguments == '{"ü":[1.0,null]}'
    assert json.loads(found.arguments) == {"ü": [1.0, None]}


def test_arguments_stream_while_the_model_writes_them() -> None:
    """A long call is not silent until it ends."""
    found = answer_reader(GENERIC, TOOLS, Thoughts.BEFORE)
    begun = found.add('<tool_call>{"name": "f", "arguments": {', final=False)
    assert [part.piece.name for part in begun if isinstance(part.piece, CallPart) and part.piece.id] == ["f"]
    assert found.add('"a": "x', final=False) == [Part(CallPart(0, arguments='"a": "x'), 7)]


@pytest.mark.parametrize(
    ("form", "head"),
    [
        (QWEN_CODER, "<tool_call>\n<function=f>\n<parameter=a>\n"),
        (SEED, "<seed:tool_call>\n<function=f>\n<parameter=a>"),
    ],
)
def test_texts_in_tags_stream_while_the_model_writes_them(form: Form, head: str) -> None:
    """A file that is written by a call comes line by line."""
    schema = '{"properties": {"a": {"type": "string"}}}'
    found = answer_reader(form, ToolUse((Tool("f", "", schema),)), Thoughts.BEFORE)
    found.add(head, final=False)
    assert found.add('say "hi"', final=False) == [Part(CallPart(0, arguments='say \\"hi\\"'), 8)]


@SIZES
def test_arguments_may_hold_what_looks_like_markup(size: int) -> None:
    """Braces, quotes and markers inside texts of the arguments end nothing."""
    arguments = '{"a": "}</tool_call>\\"{", "b": {"c": []}}'
    text = f'<tool_call>{{"name": "f", "arguments": {arguments}}}</tool_call>'
    assert without_ids(read(HERMES, text, size)) == [call("f", arguments)]


def test_call_that_is_cut_has_the_arguments_so_far() -> None:
    """An answer that ends at max_tokens inside a call shows it as far as it came."""
    assert without_ids(read(HERMES, '<tool_call>{"name": "f", "arguments": {"a": 1', 3)) == [call("f", '{"a": 1')]


def seconds(form: Form, text: str) -> float:
    """Returns the processor's time in which an answer is read that comes in single characters."""
    started = time.process_time()
    found = answer_reader(form, TOOLS, Thoughts.BEFORE)
    size = sum(part.size for character in text for part in found.add(character, final=False))
    assert size + sum(part.size for part in found.add("", final=True)) == len(text)
    return time.process_time() - started


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", ["heads", "space", "value"])
def test_long_answers_take_linear_time(name: str, kind: str) -> None:
    """Beginnings of calls, much white space and long values are not read again and again."""
    call = TWO_CALLS[name]
    head, value = call[: call.index("f")] + "x ", call[: call.index("b>")]
    unit = {"heads": head, "space": f"{head}{' ' * 300}", "value": "a<]}) "}[kind]
    texts = [(value if kind == "value" else "") + unit * (size // len(unit)) for size in (3_000, 24_000)]
    short, long = (seconds(of(name), text) for text in texts)
    assert long < 8 * 4 * max(short, 0.005)
