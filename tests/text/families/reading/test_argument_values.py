"""Values of arguments that no JSON object holds, and the JSON that they become."""

import json
from collections.abc import Callable

import pytest

from llm_inference_api.requests.tools import ToolCall
from llm_inference_api.text.families.form import CallForm, Form, Pairs, Slot
from tests.text.families.reading.answer_forms import (
    DSML,
    GEMMA,
    GLM,
    LFM2,
    MINICPM,
    MINIMAX_M3,
    QWEN_CODER,
    SEED,
    read,
    tools,
)

SIZES = pytest.mark.parametrize("size", [1, 3, 10_000])


def arguments(form: Form, text: str, size: int = 1, schema: object = None) -> object:
    """Returns the arguments of the only call of an answer, as values of Python; its text if they are no JSON."""
    use = tools(f=json.dumps({"type": "object", "properties": {"a": {} if schema is None else schema}}))
    (found,) = read(form, text, size, use)
    assert isinstance(found, ToolCall), found
    try:
        return json.loads(found.arguments)
    except json.JSONDecodeError:
        return found.arguments


def qwen(value: str) -> str:
    return f"<tool_call>\n<function=f>\n<parameter=a>\n{value}\n</parameter>\n</function>\n</tool_call>"


def python(value: str) -> str:
    return f"<|tool_call_start|>[f(a={value})]<|tool_call_end|>"


def bare(value: str) -> str:
    return f"<|tool_call>call:f{{a:{value}}}<tool_call|>"


@SIZES
@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "42", "42"),
        ({"type": "string"}, '"foo"', '"foo"'),
        ({"type": "string"}, "true", "true"),
        ({"type": "string"}, "", ""),
        ({"type": "string"}, "  a\n\nb\n", "  a\n\nb\n"),
        ({"type": "string"}, "<b>\n </parameters>", "<b>\n </parameters>"),
        ({"type": "integer"}, "42", 42),
        ({"type": "integer"}, "-7", -7),
        ({"type": "integer"}, "many", "many"),
        ({"type": "integer"}, "1.5", "1.5"),
        ({"type": "number"}, " 3.14\n", 3.14),
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "null"}, "None", None),
        ({"type": "array"}, '[{"a": 1}, "b"]', [{"a": 1}, "b"]),
        ({"type": "array"}, "['a', None]", ["a", None]),
        ({"type": "array"}, "[a", "[a"),
        ({"type": "object"}, "{'a': True}", {"a": True}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "123 Main St", "123 Main St"),
        ({"type": ["string", "null"]}, "123", "123"),
        ({"type": ["string", "null"]}, '"x"', '"x"'),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, "2 dollars", "2 dollars"),
        ({"anyOf": [{"type": "string"}, {"type": "number"}]}, "2", 2),
        ({"oneOf": [{"type": "object"}, {"type": "string"}]}, "{not JSON", "{not JSON"),
        ({"oneOf": [{"type": "object"}, {"type": "string"}]}, '{"a": 1}', {"a": 1}),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": "true"}, "true", "true"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "7", "7"),
        ({}, "7", 7),
        ({}, "seven", "seven"),
        ({}, "NaN", "NaN"),
    ],
)
def test_type_of_a_text_is_the_schemas(schema: object, text: str, value: object, size: int) -> None:
    """Where a string is allowed, only what fits another type is none; what fits none stays a string."""
    assert arguments(QWEN_CODER, qwen(text), size, schema) == {"a": value}


def test_references_are_followed() -> None:
    """Also those that lead nowhere, or in a circle, which tell nothing."""
    schema = {"$defs": {"s": {"type": "string"}, "x": {"anyOf": [{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/x"}]}}}
    for reference, value in (("#/$defs/s", "7"), ("#/$defs/x", 7), ("#/$defs/none", 7), ("elsewhere", 7)):
        use = tools(f=json.dumps({**schema, "properties": {"a": {"$ref": reference}}}))
        (found,) = read(QWEN_CODER, qwen("7"), 1, use)
        assert isinstance(found, ToolCall)
        assert json.loads(found.arguments) == {"a": value}


def test_keys_that_the_schema_does_not_name_have_the_type_of_others() -> None:
    """As JSON Schema has it."""
    use = tools(f='{"additionalProperties": {"type": "string"}}')
    (found,) = read(QWEN_CODER, qwen("7"), 1, use)
    assert isinstance(found, ToolCall)
    assert json.loads(found.arguments) == {"a": "7"}


@SIZES
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<parameter=a>\n1\n</parameter>", "1"),
        ("<parameter=a>1</parameter>", "1"),
        ("<parameter=a>\n\n</parameter>", ""),
        ("<parameter=a>\n</parameter>", ""),
        ("<parameter=a></parameter>", ""),
        ("<parameter=a>\n\n1\n\n</parameter>", "\n1\n"),
        ("<parameter=a>\n 1 \n</parameter>", " 1 "),
    ],
)
def test_one_line_break_of_the_form_belongs_to_the_marker(text: str, value: str, size: int) -> None:
    """All other white space is the value's."""
    whole = f"<tool_call>\n<function=f>\n{text}\n</function>\n</tool_call>"
    assert arguments(QWEN_CODER, whole, size, {"type": "string"}) == {"a": value}


@SIZES
@pytest.mark.parametrize(
    ("text", "value"),
    [("\n    x\n    ", "x"), ("\nx\n", "x"), ("\n     x\n   ", " x\n   "), ("x", "x"), (" x ", " x ")],
)
def test_line_break_may_come_without_the_forms_indentation(text: str, value: str, size: int) -> None:
    """Models indent otherwise than their template."""
    calls = CallForm(
        ("<call ", Slot.NAME, ">", Slot.ARGUMENTS, "</call>"),
        arguments=Pairs(("<", Slot.KEY, ">\n    ", Slot.VALUE, "\n    </", Slot.KEY, ">")),
    )
    assert arguments(Form("tags", calls), f"<call f><a>{text}</a></call>", size, {"type": "string"}) == {"a": value}


@SIZES
def test_white_space_is_the_values_where_the_form_has_none(size: int) -> None:
    """A file may end with a line break."""
    text = "<seed:tool_call>\n<function=f>\n<parameter=a>\nx\n\n</parameter>\n</function>\n</seed:tool_call>"
    assert arguments(SEED, text, size, {"type": "string"}) == {"a": "\nx\n\n"}


@SIZES
@pytest.mark.parametrize(
    ("word", "schema", "value"),
    [("true", {}, "1"), ("false", {}, 1), ("true", {"type": "integer"}, 1), ("false", {"type": "string"}, "1")],
)
def test_word_for_a_type_counts_where_the_schema_leaves_it_open(
    word: str, schema: object, value: object, size: int
) -> None:
    """The schema is what the caller relies on."""
    text = (
        '<｜DSML｜function_calls>\n<｜DSML｜invoke name="f">\n'
        f'<｜DSML｜parameter name="a" string="{word}">1</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>"
    )
    assert arguments(DSML, text, size, schema) == {"a": value}


@SIZES
def test_verbatim_text_may_hold_the_markers(size: int) -> None:
    """Only the texts around it end it."""
    text = '<function name="f"><param name="a"><![CDATA[<a href="/x">hi</a> </param>]]></param></function>'
    assert arguments(MINICPM, text, size, {"type": "string"}) == {"a": '<a href="/x">hi</a> </param>'}


@SIZES
def test_numbers_in_verbatim_text_are_numbers(size: int) -> None:
    """The type is the schema's there too."""
    text = '<function name="f"><param name="a"><![CDATA[1]]></param></function>'
    assert arguments(MINICPM, text, size, {"type": "integer"}) == {"a": 1}


@SIZES
@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "object", "properties": {"x": {"type": "string"}}}, "<x>1</x><y>2</y>", {"x": "1", "y": 2}),
        ({"type": "array", "items": {"type": "string"}}, "<item>1</item><item>2</item>", ["1", "2"]),
        ({"type": "array"}, "<item><item>1</item></item><item></item>", [[1], ""]),
        ({"type": "array"}, "", []),
        ({"type": "object"}, "", {}),
        ({"type": "object"}, "<a><a>1</a></a>", {"a": {"a": 1}}),
        ({"type": "string"}, "<x>1</x>", "]<]minimax[>[<x>1]<]minimax[>[</x>"),
        ({"oneOf": [{"type": "integer"}, {"type": "object"}]}, "<x>1</x>", {"x": 1}),
        ({"oneOf": [{"type": "integer"}, {"type": "object"}]}, "5", 5),
        ({"oneOf": [{"type": "string"}, {"type": "object"}]}, "<x>hi</x>", "]<]minimax[>[<x>hi]<]minimax[>[</x>"),
    ],
)
def test_pairs_within_pairs_are_objects_and_arrays(schema: object, text: str, value: object, size: int) -> None:
    """Where a string is allowed, they are its text."""
    sign = "]<]minimax[>["
    inner = text.replace("<", f"{sign}<")
    whole = f'{sign}<tool_call>\n{sign}<invoke name="f">{sign}<a>{inner}{sign}</a>{sign}</invoke>\n{sign}</tool_call>'
    assert arguments(MINIMAX_M3, whole, size, schema) == {"a": value}


@SIZES
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"x"', "x"),
        ("'it\\'s'", "it's"),
        ("'say \"hi\"'", 'say "hi"'),
        ('"a\\nb\\t\\\\"', "a\nb\t\\"),
        ('"\\x41\\u00e9\\U0001F600\\q\\/"', "Aé😀\\q/"),
        ('"a\nb"', "a\nb"),
        ('"""a "quoted" text\nb"""', 'a "quoted" text\nb'),
        ('r"\\d+"', "\\d+"),
        ('""', ""),
        ("True", True),
        ("None", None),
        ("true", True),
        ("null", None),
        ("-1.5e3", -1500.0),
        ("1_000", 1000),
        (".5", 0.5),
        ("0x1f", 31),
        ("[1, 'a', (2, 3),]", [1, "a", [2, 3]]),
        ('{"k": True, \'l\': [None], "m": {}}', {"k": True, "l": [None], "m": {}}),
        ("{'a': 1, 2: 'b'}", {"a": 1, "2": "b"}),
        ("[]", []),
        ("()", []),
        ("Paris", "Paris"),
        ("date(2026, 1)", "date(2026, 1)"),
        ("'x)], f(b=1'", "x)], f(b=1"),
    ],
)
def test_python_literals_become_json(text: str, value: object, size: int) -> None:
    """Those of JSON are read too, and words without quotes are strings."""
    assert arguments(LFM2, python(text), size) == {"a": value}


@SIZES
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('<|"|>x<|"|>', "x"),
        ('<|"|>a "b" \\n,}]\n<|"|>', 'a "b" \\n,}]\n'),
        ('"x\\n"', "x\n"),
        ("42", 42),
        ("1.5e10", 1.5e10),
        ("false", False),
        ("null", None),
        ('{theme:<|"|>dark<|"|>,count:3,sub:{}}', {"theme": "dark", "count": 3, "sub": {}}),
        ('[<|"|>a<|"|>,<|"|>b<|"|>]', ["a", "b"]),
        ("[]", []),
        ("dark", "dark"),
        ('{"k": 1, l : [ 2 , ] }', {"k": 1, "l": [2]}),
    ],
)
def test_keys_and_strings_without_json_quotes_become_json(text: str, value: object, size: int) -> None:
    """Strings have no escapes."""
    assert arguments(GEMMA, bare(text), size) == {"a": value}


@SIZES
@pytest.mark.parametrize(
    ("form", "text", "found"),
    [
        (QWEN_CODER, qwen("ab")[: qwen("ab").index("b") + 1], '{"a": "ab'),
        (QWEN_CODER, qwen("ab")[: qwen("ab").index("</para") + 5], '{"a": "ab'),
        (QWEN_CODER, qwen("ab")[: qwen("ab").index("</fun")], '{"a": "ab"'),
        (QWEN_CODER, qwen("ab")[: qwen("ab").index("</fun") + 4], '{"a": "ab"}'),
        (LFM2, "<|tool_call_start|>[f(a=", '{"a": '),
        (LFM2, '<|tool_call_start|>[f(a="x', '{"a": "x'),
        (LFM2, "<|tool_call_start|>[f(a=[1, 2", '{"a": [1, 2'),
        (GEMMA, '<|tool_call>call:f{a:<|"|>x<|', '{"a": "x'),
        (GEMMA, '<|tool_call>call:f{a:<|"|>x<|"|>}', '{"a": "x"}'),
    ],
)
def test_call_that_is_cut_has_what_it_has(form: Form, text: str, found: str, size: int) -> None:
    """Nothing is added but what the form has said."""
    use = tools(f='{"properties": {"a": {"type": "string"}}}')
    (cut,) = read(form, text, size, use)
    assert isinstance(cut, ToolCall)
    assert cut.arguments == found


@SIZES
def test_text_that_breaks_the_pairs_ends_the_call(size: int) -> None:
    """What has been said is kept as content."""
    text = "<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value> and more</tool_call> Done."
    call, *words = read(GLM, text, size, tools(f="{}"))
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"a": 1}'
    assert "".join(word.text for word in words if not isinstance(word, ToolCall)) == "and more Done."


BEYOND = "1" * 400
"""An integer beyond float64."""


@pytest.mark.parametrize("value", [f"-{BEYOND}", f"+{BEYOND}", f"1_{BEYOND}", f"0x{'f' * 400}"])
@pytest.mark.parametrize("write", [qwen, python, bare])
def test_integer_beyond_float64_is_an_integer(write: Callable[[str], str], value: str) -> None:
    """Models that begin to repeat a digit go on with it."""
    form = {qwen: QWEN_CODER, python: LFM2, bare: GEMMA}[write]
    assert arguments(form, write(value), schema={"type": "integer"}) == {"a": int(value, 0)}


@pytest.mark.parametrize("value", ["+1e999", f"0x{'f' * 4500}", f"+{'1' * 5000}"])
@pytest.mark.parametrize("write", [python, bare])
def test_number_that_json_cannot_have_is_a_text(write: Callable[[str], str], value: str) -> None:
    """JSON has no infinity, and Python writes no integer of more than 4,300 digits."""
    form = {python: LFM2, bare: GEMMA}[write]
    assert arguments(form, write(value), schema={"type": "number"}) == {"a": value}


@SIZES
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (r"'\ud83d\ude00'", "😀"),
        (r"'\U0001f600'", "😀"),
        (r"'\ud83d'", "\ufffd"),
        (r"'\ude00\ud83d'", "\ufffd\ufffd"),
        (r"'\U0000d83dx'", "\ufffdx"),
        (r"'\ud83d\u0041'", "\ufffdA"),
    ],
)
def test_half_of_a_character_is_none(value: str, text: str, size: int) -> None:
    """No text has one, and a client that gets one cannot send it back."""
    assert arguments(LFM2, python(value), size) == {"a": text}
