import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.tools import Tool, ToolCall, complete_arguments

DIGITS = f'{{"a": {"9" * 5000}}}'


@pytest.mark.parametrize(
    ("said", "complete"),
    [
        ("", "{}"),
        (None, "{}"),
        ("null", "{}"),
        ("{", "{}"),
        ('{"city', "{}"),
        ('{"city":', "{}"),
        ('{"city": "', '{"city": ""}'),
        ('{"city": "Ro\\u00', '{"city": "Ro"}'),
        ('{"city": "Rome", "days": 12', '{"city": "Rome", "days": 12}'),
        ('{"at": {"x": [1, {"y": tr', '{"at": {"x": [1, {}]}}'),
        ('{"at": {"x": 1}', '{"at": {"x": 1}}'),
        ('{ "a":1 }', '{ "a":1 }'),
        ('{"a": 1e999, "b": "', '{"a": 1.7976931348623157e+308, "b": ""}'),
    ],
)
def test_call_that_was_cut_is_completed(said: str | None, complete: str) -> None:
    """What an answer said before it reached its limit can be sent back with what was complete of it."""
    assert complete_arguments(said) == complete
    ToolCall("1", "f", complete_arguments(said)).check("messages[0].tool_calls[0]")


def test_call_deeper_than_a_schema_is_accepted() -> None:
    """A model may nest more than callers' schemas may."""
    ToolCall("1", "f", '{"a":' * 100 + "1" + "}" * 100).check("messages[0].tool_calls[0]")


@pytest.mark.parametrize(
    "arguments", ["foo", "[1]", '"x"', "5", '{"a":1} x', '{"a": NaN}', '{"a":' * 300, DIGITS, DIGITS[:-1]]
)
def test_arguments_that_no_call_has_are_refused(arguments: str) -> None:
    """What is no object, and no beginning of one, is refused by its field."""
    with pytest.raises(InvalidFieldError, match=r"^messages\[0\].tool_calls\[0\].arguments: "):
        ToolCall("1", "f", complete_arguments(arguments)).check("messages[0].tool_calls[0]")


def test_names_of_functions_may_have_dots() -> None:
    """Some callers name them by namespace."""
    Tool("Calendar.create_event", "", "{}").check("tools[0]")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a b", "é", "a" * 65])
def test_other_names_of_functions_are_refused(name: str) -> None:
    """The error names the field and what is right."""
    with pytest.raises(InvalidFieldError, match=r"^tools\[0\].name: must be 1 to 64 letters, digits, '_', '-' and '.'"):
        Tool(name, "", "{}").check("tools[0]")


def test_integer_of_too_many_digits_is_refused_in_words() -> None:
    """Python's own message names a function of Python's."""
    with pytest.raises(InvalidFieldError, match=r"^tools\[0\].parameters: .*an integer has more than 4300 digits\)$"):
        Tool("f", "", DIGITS).check("tools[0]")
