import json
from typing import Any

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.grammar.tool_grammar import tool_constraint
from llm_inference_api.requests.constraint import Constraint
from llm_inference_api.requests.tools import Tool, ToolMode, ToolUse
from llm_inference_api.text.families.form import CallForm, Form, Pairs, Slot, Values
from tests.grammar.forms import KINDS
from tests.grammar.grammars import BYTES

KEY, VALUE = Slot.KEY, Slot.VALUE
TAGS = Pairs(("<p=", KEY, ">", VALUE, "</p>"))
PYTHON = Pairs((KEY, "=", VALUE), ", ", Values.PYTHON)
BARE = Pairs((KEY, ":", VALUE), ",", Values.BARE, "~")
NESTED = Pairs(("<", KEY, ">", VALUE, "</", KEY, ">"), item="item")
KINDED = Pairs(
    ("<p=", KEY, " ", Slot.KIND, ">", VALUE, "</p>"),
    kinds=tuple((kind, kind) for kind in ("string", "number", "boolean", "array", "object", "null")),
)
FREE = {"type": "string"}
NUMBER = {"type": "integer"}


def constraint(pairs: Pairs, schema: dict[str, Any], *, strict: bool = False) -> Constraint:
    form = Form("x", CallForm(("<f>", Slot.NAME, ":", Slot.ARGUMENTS, "</f>"), arguments=pairs))
    use = ToolUse((Tool("f", "", json.dumps(schema), strict),), ToolMode.REQUIRED)
    return tool_constraint(use, form, BYTES.terminal, BYTES.arguments)


def mask(pairs: Pairs, schema: dict[str, Any]) -> TokenMask:
    return BYTES.mask(constraint(pairs, schema))


def fits(pairs: Pairs, schema: dict[str, Any], arguments: str) -> bool:
    return mask(pairs, schema).matches(f"<f>f:{arguments}</f>")


def of(value: Any, **more: Any) -> dict[str, Any]:
    """Returns the schema of an object with the property `a`, which is required."""
    return {"type": "object", "properties": {"a": value}, "required": ["a"], **more}


ABC = {
    "type": "object",
    "properties": {"a": FREE, "b": NUMBER, "c": FREE},
    "required": ["a", "c"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("arguments", "is_allowed"),
    [
        ("<p=a>x</p><p=c>y</p>", True),
        ("<p=c>y</p><p=a>x</p>", True),
        ("<p=b>1</p><p=c>y</p><p=a>x</p>", True),
        ("<p=a>x</p>", False),
        ("<p=a>x</p><p=c>y</p><p=a>x</p>", False),
        ("<p=a>x</p><p=c>y</p><p=d>x</p>", False),
        ("<p=a>x</p><p=c>y</p><p=b>one</p>", False),
        ("", False),
    ],
)
def test_properties_come_once_in_any_order(arguments: str, *, is_allowed: bool) -> None:
    """Models write parameters in their own order; required ones must be there."""
    assert fits(TAGS, ABC, arguments) == is_allowed


@pytest.mark.parametrize(
    ("arguments", "is_allowed"),
    [
        ('a="x", c="y"', True),
        ('c="y", b=1, a="x"', True),
        ('a="x" c="y"', False),
        ('a="x", c="y", ', False),
        (', a="x", c="y"', False),
    ],
)
def test_separators_stand_between_pairs(arguments: str, *, is_allowed: bool) -> None:
    """Neither before the first nor behind the last one."""
    assert fits(PYTHON, ABC, arguments) == is_allowed


@pytest.mark.parametrize(("required", "nothing"), [([], True), (["p3"], False)])
@pytest.mark.parametrize("pairs", [TAGS, PYTHON], ids=["tags", "Python"])
def test_many_properties_come_in_the_schemas_order(pairs: Pairs, required: list[str], *, nothing: bool) -> None:
    """More than a rule can tell apart."""
    schema = {"type": "object", "properties": {f"p{n}": NUMBER for n in range(70)}, "required": required}
    write = "<p={}>1</p>" if pairs is TAGS else "{}=1"

    def row(*names: str) -> str:
        return pairs.separator.join(write.format(name) for name in names)

    assert fits(pairs, schema, row("p3", "p5", "p69"))
    assert fits(pairs, schema, "") == nothing
    assert fits(pairs, schema, row("p5")) == nothing
    assert not fits(pairs, schema, row("p3", "p3"))


@pytest.mark.parametrize(
    ("pairs", "known", "other"),
    [
        (TAGS, "<p=a>x</p>", "<p=ab>1</p>"),
        (PYTHON, 'a="x"', ", ab=1"),
        (BARE, "a:~x~", ",ab:1"),
        (NESTED, "<a>x</a>", "<ab>1</ab>"),
    ],
    ids=["tags", "Python", "bare", "nested"],
)
def test_other_properties_are_written_where_the_schema_has_them(pairs: Pairs, known: str, other: str) -> None:
    """With its schema for them, and other names than those that are listed, though they begin alike."""
    assert fits(pairs, of(FREE, additionalProperties=NUMBER), known + other)
    assert not fits(pairs, of(FREE, additionalProperties=NUMBER), known + other.replace("1", "x"))
    assert not fits(pairs, of(FREE, additionalProperties=False), known + other)
    assert not fits(pairs, of(FREE, additionalProperties=NUMBER), known + other.replace("ab", "a"))


def test_any_arguments_where_the_schema_says_nothing() -> None:
    """Also none."""
    assert fits(TAGS, {"type": "object"}, "")
    assert fits(TAGS, {"type": "object"}, "<p=x>y</p><p=z>1</p>")
    assert not fits(TAGS, {"type": "object", "properties": {}}, "<p=x>y</p>")


TEXTS = [
    (FREE, ["", "x", "a <b> \"'\n", "</q>"], []),
    ({"enum": ["red", "dark red"]}, ["red", "dark red"], ["blue", '"red"', ""]),
    ({"const": "x"}, ["x"], ["y"]),
    ({"enum": ["x", 1, None]}, ["x", "1", "null"], ["2", "true"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["", "ABC", "a1"]),
    ({"type": "string", "pattern": "b"}, ["b", "abc"], ["a"]),
    ({"type": "string", "pattern": "^a|b$"}, ["ax", "xb"], ["x"]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
    ({"type": "string", "pattern": "^a", "maxLength": 2}, ["a", "ab"], ["b", "abc"]),
    ({"type": "string", "format": "date"}, ["2024-02-28"], ["2024-2-28", "soon", "2024-13-01"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
    ({"type": "string", "format": "email"}, ["a.b@example.com"], ["a.b"]),
    ({"type": "string", "format": "ipv4"}, ["127.0.0.1"], ["256.0.0.1", "1.2.3"]),
    ({"type": ["string", "null"]}, ["x", "null"], []),
    ({"type": ["integer", "null"]}, ["1", "null"], ["x", "1.5"]),
    ({"anyOf": [{"enum": ["x"]}, NUMBER]}, ["x", "3"], ["y"]),
    ({"allOf": [FREE, {"maxLength": 1}]}, ["x"], ["xy"]),
    ({"type": "number", "minimum": 2}, ["2", "3.5"], ["1", "x"]),
    ({"type": "boolean"}, ["true", "false"], ["True", "x"]),
    ({"type": "array", "items": NUMBER}, ["[1, 2]", "[]"], ['["x"]', "1"]),
    ({"type": "object", "properties": {"x": NUMBER}, "required": ["x"]}, ['{"x": 1}'], ["{}", '{"x": "y"}']),
    ({}, ["x", "1", '{"x": 1}'], []),
]


@pytest.mark.parametrize(("schema", "good", "bad"), TEXTS, ids=[json.dumps(schema) for schema, _, _ in TEXTS])
def test_values_between_tags_are_texts_or_json(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    """Strings are written as they are, others as JSON."""
    assert [value for value in good if not fits(TAGS, of(schema), f"<p=a>{value}</p>")] == []
    assert [value for value in bad if fits(TAGS, of(schema), f"<p=a>{value}</p>")] == []


PYTHONS = [
    (FREE, ['"x"', "'x'", r'"a \"b\" \n"', "'\"'"], ["x", "1", '"x']),
    ({"enum": ["red", 1, True, None]}, ['"red"', "1", "True", "true", "None"], ["red", "2", "False"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ['"abc"'], ['"ABC"', "'ABC'"]),
    ({"type": "boolean"}, ["True", "false"], ["1", '"True"']),
    ({"type": "null"}, ["None", "null"], ["0"]),
    (NUMBER, ["1", "-7"], ["1.5", "x", "01"]),
    ({"type": "integer", "minimum": 3}, ["3"], ["2"]),
    ({"type": "number"}, ["1", "1.5e10", "-0.5"], ["x"]),
    ({"type": "array", "items": FREE}, ['["a", "b"]', "[]", "['a']"], ["[1]", '["a"', '["a",]']),
    ({"type": "array", "items": NUMBER, "minItems": 1, "maxItems": 2}, ["[1]", "[1, 2]"], ["[]", "[1, 2, 3]"]),
    ({"type": "object"}, ['{"a": True, "b": [1, None]}', "{}"], ["{a: 1}", '{"a"}']),
    (of(NUMBER), ['{"a": 1}'], ["{}", '{"a": "x"}']),
    ({}, ['"x"', "1", "None", '{"a": [{"b": True}]}'], ["x"]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), PYTHONS, ids=[json.dumps(schema) for schema, _, _ in PYTHONS])
def test_values_as_python_literals(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    """Words of JSON are allowed too."""
    assert [value for value in good if not fits(PYTHON, of(schema), f"a={value}")] == []
    assert [value for value in bad if fits(PYTHON, of(schema), f"a={value}")] == []


BARES = [
    (FREE, ["~x~", '~a "b" {c}\n~', "~~"], ["x", '"x"', "1"]),
    ({"enum": ["red", 1, True, None]}, ["~red~", "1", "true", "null"], ["~blue~", "True"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["~abc~"], ["~ABC~"]),
    ({"type": "number"}, ["1.5e10", "-7"], ["~1~"]),
    ({"type": "boolean"}, ["true"], ["True"]),
    ({"type": "array"}, ["[]", "[~a~,1,[true]]"], ["[~a~, ~b~]x"]),
    ({"type": "object"}, ["{}", "{b:~x~,c:{d:null}}"], ['{"b":1}']),
    (of(NUMBER), ["{a:1}"], ["{}", "{a:~x~}"]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), BARES, ids=[json.dumps(schema) for schema, _, _ in BARES])
def test_values_with_bare_keys(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    """Strings stand between the form's own quotes, without escapes."""
    assert [value for value in good if not fits(BARE, of(schema), f"a:{value}")] == []
    assert [value for value in bad if fits(BARE, of(schema), f"a:{value}")] == []


NESTEDS = [
    (NUMBER, ["1"], ["x"]),
    (FREE, ["x", ""], []),
    (of(NUMBER), ["<a>1</a>"], ["", "<a>x</a>", '{"a": 1}']),
    ({"type": "array", "items": NUMBER}, ["<item>1</item><item>2</item>", ""], ["<item>x</item>", "1"]),
    ({"type": "array", "items": of(FREE)}, ["<item><a>x</a></item>"], ["<item>x</item>", "<item></item>"]),
    ({"anyOf": [NUMBER, of(NUMBER)]}, ["5", "<a>5</a>"], ["x", "<a>x</a>"]),
]


@pytest.mark.parametrize(("schema", "good", "bad"), NESTEDS, ids=[json.dumps(schema) for schema, _, _ in NESTEDS])
def test_values_as_pairs_within_pairs(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    """Objects by their keys, arrays by items of one name."""
    assert [value for value in good if not fits(NESTED, of(schema), f"<a>{value}</a>")] == []
    assert [value for value in bad if fits(NESTED, of(schema), f"<a>{value}</a>")] == []


@pytest.mark.parametrize("pairs", [TAGS, PYTHON, BARE, NESTED], ids=["tags", "Python", "bare", "nested"])
def test_schema_may_contain_itself(pairs: Pairs) -> None:
    """As deep as the model writes it."""
    node = {"type": "object", "properties": {"n": NUMBER, "next": {"$ref": "#/$defs/node"}}}
    schema = {**of({"$ref": "#/$defs/node"}), "$defs": {"node": node}}
    good, bad = {
        "tags": ('<p=a>{"n": 1, "next": {"next": {"n": 2}}}</p>', '<p=a>{"next": {"n": "x"}}</p>'),
        "Python": ('a={"n": 1, "next": {"next": {"n": 2}}}', 'a={"next": {"n": "x"}}'),
        "bare": ("a:{n:1,next:{next:{n:2}}}", "a:{next:{n:~x~}}"),
        "nested": ("<a><n>1</n><next><next><n>2</n></next></next></a>", "<a><next><n>x</n></next></a>"),
    }[{id(TAGS): "tags", id(PYTHON): "Python", id(BARE): "bare", id(NESTED): "nested"}[id(pairs)]]
    assert fits(pairs, schema, good)
    assert not fits(pairs, schema, bad)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (FREE, ["<p=a string>1</p>"], ["<p=a number>1</p>"]),
        (NUMBER, ["<p=a number>1</p>"], ["<p=a string>1</p>", "<p=a integer>1</p>"]),
        ({"type": ["string", "integer"]}, ["<p=a string>x</p>", "<p=a number>1</p>"], ["<p=a number>x</p>"]),
        (
            {"anyOf": [{"enum": ["x"]}, {"type": "boolean"}]},
            ["<p=a string>x</p>", "<p=a boolean>true</p>"],
            ["<p=a string>true</p>", "<p=a boolean>x</p>"],
        ),
        ({}, ["<p=a object>{}</p>", "<p=a string>{</p>", "<p=a null>null</p>"], ["<p=a object>[]</p>"]),
    ],
)
def test_word_for_the_kind_is_the_values(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    """Of those that the schema allows."""
    assert [pair for pair in good if not fits(KINDED, of(schema), pair)] == []
    assert [pair for pair in bad if fits(KINDED, of(schema), pair)] == []


def test_text_with_the_pairs_own_marker_stands_between_two_others() -> None:
    """Without them, it ends at the marker."""
    pairs = Pairs(("<p=", KEY, ">", VALUE, "</p>"), verbatim=("<![CDATA[", "]]>"))
    assert fits(pairs, of(FREE), "<p=a><![CDATA[x</p>]]></p>")
    assert fits(pairs, of(FREE), "<p=a>x</p>")
    assert not fits(pairs, of(FREE), "<p=a>x</p>]]></p>")


@pytest.mark.parametrize(
    ("schema", "arguments"),
    [
        ({"anyOf": [of(NUMBER), {**of(FREE), "properties": {"b": FREE}, "required": ["b"]}]}, "<p=b>x</p>"),
        ({"$ref": "#/$defs/x", "$defs": {"x": of(NUMBER)}}, "<p=a>1</p>"),
        ({"allOf": [of(NUMBER), {"properties": {"b": FREE}, "required": ["b"]}]}, "<p=a>1</p><p=b>x</p>"),
    ],
)
def test_arguments_of_combined_schemas(schema: dict[str, Any], arguments: str) -> None:
    """The object is one of several, another's, or has the properties of all."""
    assert fits(TAGS, schema, arguments)
    assert not fits(TAGS, schema, arguments.replace("1", "x").replace("<p=b>", "<p=q>"))


def test_keyword_that_is_not_followed_is_named() -> None:
    """A strict tool's schema is refused then."""
    schema = {**of({"type": "object", "maxProperties": 1}), "minProperties": 1}
    assert constraint(TAGS, schema).ignored == ("tools.minProperties",)
    assert constraint(PYTHON, schema).ignored == ("tools.minProperties", "tools.properties.a.maxProperties")
    with pytest.raises(InvalidFieldError, match=r"^tools: cannot be followed: minProperties"):
        constraint(TAGS, schema, strict=True)


def test_pattern_with_an_anchor_inside_is_named() -> None:
    """A grammar's terminal has no anchors."""
    schema = of({"type": "string", "pattern": "a(^b|c)"})
    found = constraint(TAGS, schema)
    assert found.ignored == ("tools.properties.a.pattern",)
    assert BYTES.mask(found).matches("<f>f:<p=a>x</p></f>")


def test_white_space_may_stand_between_tags() -> None:
    """Also where the template writes none."""
    assert fits(TAGS, ABC, "\n<p=a>x</p>\n<p=c>y</p>")


@pytest.mark.parametrize("pairs", [TAGS, PYTHON], ids=["tags", "Python"])
def test_white_space_of_names_is_theirs(pairs: Pairs) -> None:
    """A name without its blanks is another name."""
    schema = {"type": "object", "properties": {"a b": NUMBER}, "required": ["a b"], "additionalProperties": False}
    right, wrong = (("<p=a b>1</p>", "<p=ab>1</p>"), ("a b=1", "ab=1"))[pairs is PYTHON]
    assert fits(pairs, schema, right)
    assert not fits(pairs, schema, wrong)


def test_white_space_of_literals_may_be_left_out() -> None:
    """Models write less of it than templates do, and no more than some of it."""
    kind = KINDS["tags"]
    use = ToolUse((Tool("f", "", json.dumps(of(FREE))),), ToolMode.REQUIRED)
    found = BYTES.mask(tool_constraint(use, kind.form, BYTES.terminal, BYTES.arguments))
    assert found.matches("<tool_call><function=f><parameter=a>x</parameter></function></tool_call>")
    assert found.matches("<tool_call>\n\n<function=f>\n<parameter=a>\nx\n</parameter>\n\n</function>\n</tool_call>\n")
    assert not found.matches(f"<tool_call>{' ' * 20}<function=f><parameter=a>x</parameter></function></tool_call>")


LINES = Pairs(("<p=", KEY, ">\n", VALUE, "\n</p>\n"))


@pytest.mark.parametrize("schema", [{"enum": ["red", "blue"]}, {"type": "string", "pattern": "^[a-z]+$"}])
@pytest.mark.parametrize(
    ("written", "is_allowed"),
    [
        ("<p=a>\nred\n</p>\n", True),
        ("<p=a>red</p>", True),
        ("<p=a>\nred</p>\n\n", True),
        ("<p=a>\n\nred\n</p>", False),
        ("<p=a> red\n</p>", False),
        ("<p=a>\nred \n</p>", False),
        ("<p=a>\nred\n\n</p>", False),
    ],
)
def test_white_space_around_a_text_is_the_forms(schema: dict[str, Any], written: str, *, is_allowed: bool) -> None:
    """The reader takes one line break for the form's; more belongs to the text, which the schema does not allow."""
    assert fits(LINES, of(schema), written) == is_allowed


def test_white_space_around_other_texts_is_theirs() -> None:
    """A text without a restriction may begin and end with it; for a number it means nothing."""
    assert fits(LINES, of(FREE), "<p=a>\n\n x \n\n</p>")
    assert fits(LINES, of(NUMBER), "<p=a>\n1\n\n</p>")


@pytest.mark.parametrize("name", ["a`b", "a'b", "a(b", "a b"])
def test_names_that_the_schema_does_not_list_are_those_that_the_reader_finds(name: str) -> None:
    """A call with another one would be taken for words."""
    assert not fits(PYTHON, {"type": "object"}, f"{name}=1")
    assert fits(PYTHON, {"type": "object"}, "ab=1")


@pytest.mark.parametrize(
    ("arguments", "is_allowed"),
    [
        ({"a": "x"}, True),
        ({"a": "y", "b": "1"}, True),
        ({"a": "y"}, False),
        ({"a": "x", "b": "1"}, False),
        ({}, False),
    ],
)
@pytest.mark.parametrize("pairs", [TAGS, PYTHON], ids=["tags", "Python"])
def test_arguments_are_one_of_the_constants(pairs: Pairs, arguments: dict[str, str], *, is_allowed: bool) -> None:
    """A schema may list whole objects."""
    write = "<p={}>{}</p>" if pairs is TAGS else "{}={}"
    texts = [
        write.format(name, value if pairs is TAGS or value == "1" else f'"{value}"')
        for name, value in arguments.items()
    ]
    schema = {"enum": [{"a": "x"}, 5, {"a": "y", "b": 1}]}
    assert fits(pairs, schema, pairs.separator.join(texts)) == is_allowed


def test_more_constants_than_are_followed_are_named() -> None:
    """As all that is left out."""
    schema = {"enum": [{"a": number} for number in range(40)]}
    assert constraint(TAGS, schema).ignored == ("tools.enum",)
