"""Calls found from small templates, one for each way of writing."""

import pytest

from llm_inference_api.text.families.form import Pairs, Slot, Values
from llm_inference_api.text.template_input import Wants
from tests.text.families.probing.templates import (
    ARGS,
    JSON,
    LINE,
    PAIRS,
    SAID,
    TEXT,
    answering,
    calling,
    form,
    found,
)

NAME, ARGUMENTS, ID, INDEX, KEY, VALUE, KIND = (
    Slot.NAME,
    Slot.ARGUMENTS,
    Slot.ID,
    Slot.INDEX,
    Slot.KEY,
    Slot.VALUE,
    Slot.KIND,
)


def pairs_of(call: str, **around: str) -> Pairs:
    """Returns how the calls of a template have their arguments."""
    shown = form(calling(call, **around))
    assert shown.calls.arguments is not None, shown.problem
    return shown.calls.arguments


def test_json_call_between_markers() -> None:
    """Each call has its own markers, with what stands between two."""
    calls = form(calling(f"<call>\n{JSON}}}\n</call>", separator="; ")).calls
    assert calls.call == ('<call>\n{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}\n</call>")
    assert (calls.opening, calls.separator, calls.closing, calls.are_parallel) == ("", "; ", "", True)


def test_json_list_in_one_section() -> None:
    """The section's markers stand once."""
    calls = form(calling(f"{JSON}}}", opening="<calls>[", separator=", ", closing="]</calls>")).calls
    assert calls.call == ('{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}")
    assert (calls.opening, calls.separator, calls.closing) == ("<calls>[", ", ", "]</calls>")


@pytest.mark.parametrize(
    ("written", "call"),
    [
        (
            "[CALL]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}",
            ("[CALL]", NAME, "[ARGS]", ARGUMENTS),
        ),
        (
            "[CALL]{{ c.function.name }}[ID]{{ c.id }}[ARGS]{{ c.function.arguments | tojson }}",
            ("[CALL]", NAME, "[ID]", ID, "[ARGS]", ARGUMENTS),
        ),
        (
            f'<c>{JSON}, "id": "{{{{ c.id }}}}"}}</c>',
            ('<c>{"name": "', NAME, '", "arguments": ', ARGUMENTS, ', "id": "', ID, '"}</c>'),
        ),
        (
            '<c>{"{{ c.function.name }}": {{ c.function.arguments | tojson }}}</c>',
            ('<c>{"', NAME, '": ', ARGUMENTS, "}</c>"),
        ),
        (
            '<c n="{{ loop.index }}">{{ c.function.name }}<a>{{ c.function.arguments | tojson }}</c>',
            ('<c n="', INDEX, '">', NAME, "<a>", ARGUMENTS, "</c>"),
        ),
    ],
)  # fmt: skip
def test_names_ids_and_numbers_have_their_places(written: str, call: tuple[str | Slot, ...]) -> None:
    """Wherever the template writes them, arguments are last but for ids."""
    assert form(calling(written)).calls.call == call


def test_id_that_holds_the_name_is_made_of_it() -> None:
    """A template that writes the id alone shows name and number in it."""
    calls = form(calling("<c>{{ c.id }}<a>{{ c.function.arguments | tojson }}</c>")).calls
    assert calls.call == ("<c>functions.", NAME, ":", INDEX, "<a>", ARGUMENTS, "</c>")
    assert calls.id_of == ("functions.", NAME, ":", INDEX)


@pytest.mark.parametrize(
    ("pair", "expected", "values", "separator"),
    [
        (f"<p={{{{ k }}}}>\n{TEXT}\n</p>\n", ("\n<p=", KEY, ">\n", VALUE, "\n</p>"), Values.TEXT, ""),
        (f"<k>{{{{ k }}}}</k><v>{TEXT}</v>", ("<k>", KEY, "</k><v>", VALUE, "</v>"), Values.TEXT, ""),
        (f"<{{{{ k }}}}>{TEXT}</{{{{ k }}}}>", ("<", KEY, ">", VALUE, "</", KEY, ">"), Values.TEXT, ""),
        (
            "{{ k }}={{ v | tojson if v is string else v }}{% if not loop.last %}, {% endif %}",
            (KEY, "=", VALUE),
            Values.PYTHON,
            ", ",
        ),
    ],
)
def test_arguments_as_pairs(pair: str, expected: tuple[str | Slot, ...], values: Values, separator: str) -> None:
    """Keys, values and what stands between pairs."""
    pairs = form(calling(f"<c>{{{{ c.function.name }}}}(\n{PAIRS}{pair}{{% endfor %}})</c>")).calls.arguments
    assert pairs is not None
    assert (pairs.pair, pairs.values, pairs.separator) == (expected, values, separator)


def test_words_for_types_are_found_for_each() -> None:
    """A word between key and value tells texts from others."""
    pair = f"<p {{{{ k }}}} text=\"{{{{ 'yes' if v is string else 'no' }}}}\">{TEXT}</p>"
    pairs = form(calling(f"<c>{{{{ c.function.name }}}}\n{PAIRS}{pair}{{% endfor %}}</c>")).calls.arguments
    assert pairs is not None
    assert pairs.pair == ("<p ", KEY, ' text="', KIND, '">', VALUE, "</p>")
    assert dict(pairs.kinds)["string"] == "yes"
    assert dict(pairs.kinds)["integer"] == "no"


def test_template_that_takes_one_call_has_no_parallel_ones() -> None:
    """What it refuses is not offered."""
    one = "{% if m.tool_calls | length > 1 %}{{ raise_exception('one call') }}{% endif %}"
    assert not form(calling(f"{one}<c>{JSON}}}</c>")).calls.are_parallel


def test_id_may_stand_before_the_name() -> None:
    """Its place is found as that behind the arguments is."""
    call = f'{{"id": "{{{{ c.id }}}}", "name": "{{{{ c.function.name }}}}", "arguments": {ARGS}}}'
    calls = form(calling(call, opening="<calls>[", separator=", ", closing="]</calls>")).calls
    assert calls.call == ('{"id": "', ID, '", "name": "', NAME, '", "arguments": ', ARGUMENTS, "}")


@pytest.mark.parametrize(("number", "first"), [("loop.index0", 0), ("loop.index", 1)])
def test_number_of_the_first_call_is_found(number: str, first: int) -> None:
    """Templates count from 0 or 1."""
    calls = form(calling(f'<c n="{{{{ {number} }}}}">{{{{ c.function.name }}}}<a>{ARGS}</c>')).calls
    assert calls.call[:2] == ('<c n="', INDEX)
    assert calls.first_index == first


def test_ids_with_names_stand_in_sections_too() -> None:
    """As Kimi K2 writes them; a call is known without the section's opening."""
    calls = form(
        calling(f"<|call|>{{{{ c.id }}}}<|args|>{ARGS}<|end|>", opening="<|calls|>", closing="<|/calls|>")
    ).calls
    assert calls.call == ("<|call|>functions.", NAME, ":", INDEX, "<|args|>", ARGUMENTS, "<|end|>")
    assert (calls.opening, calls.closing, calls.may_omit_opening) == ("<|calls|>", "<|/calls|>", True)


def test_fence_around_arguments_belongs_to_the_call() -> None:
    """As DeepSeek R1 writes it."""
    call = f"<|c|>function<|sep|>{{{{ c.function.name }}}}\n```json\n{ARGS}\n```<|e|>"
    calls = form(calling(call, opening="<|s|>", separator=LINE, closing="<|/s|>")).calls
    assert calls.call == ("<|c|>function<|sep|>", NAME, "\n```json\n", ARGUMENTS, "\n```<|e|>")
    assert (calls.opening, calls.separator, calls.closing) == ("<|s|>", "\n", "<|/s|>")


def test_second_marker_before_the_name_begins_calls_alone_too() -> None:
    """Qwen3 Coder leaves out the first one at times."""
    call = f"<call>\n<fn={{{{ c.function.name }}}}>{PAIRS}<p={{{{ k }}}}>{TEXT}</p>{{% endfor %}}</fn>\n</call>"
    calls = form(calling(call)).calls
    assert calls.call == ("<call>\n<fn=", NAME, ">", ARGUMENTS, "</fn>\n</call>")
    assert calls.others == (("<fn=", NAME, ">", ARGUMENTS, "</fn>\n</call>"),)


def test_marker_before_markers_belongs_to_the_one_behind_it() -> None:
    """As MiniMax M3 writes them: its namespace stands before each tag."""
    ns = "]<]ns[>["
    pair = f"{ns}<{{{{ k }}}}>{TEXT}{ns}</{{{{ k }}}}>"
    call = f'{ns}<invoke name="{{{{ c.function.name }}}}">{PAIRS}{pair}{{% endfor %}}{ns}</invoke>'
    calls = form(calling(call, opening=f"{ns}<calls>", closing=f"{ns}</calls>")).calls
    assert calls.call == (f'{ns}<invoke name="', NAME, '">', ARGUMENTS, f"{ns}</invoke>")
    assert (calls.opening, calls.closing) == (f"{ns}<calls>", f"{ns}</calls>")
    assert calls.arguments is not None
    assert calls.arguments.pair == (f"{ns}<", KEY, ">", VALUE, f"{ns}</", KEY, ">")


NESTED = (
    "{% macro show(v) %}{% if v is mapping %}{% for k, x in v.items() %}<{{ k }}>{{ show(x) }}</{{ k }}>{% endfor %}"
    "{% elif v is iterable and v is not string %}{% for x in v %}<item>{{ show(x) }}</item>{% endfor %}"
    "{% else %}{{ v }}{% endif %}{% endmacro %}"
)
BARE = (
    "{% macro show(v) %}{% if v is mapping %}{{ '{' }}{% for k, x in v.items() %}{{ k }}:{{ show(x) }}"
    "{% if not loop.last %},{% endif %}{% endfor %}{{ '}' }}{% elif v is string %}<|'|>{{ v }}<|'|>"
    "{% elif v is iterable %}[{% for x in v %}{{ show(x) }}{% if not loop.last %},{% endif %}{% endfor %}]"
    "{% else %}{{ v | tojson }}{% endif %}{% endmacro %}"
)


def test_items_of_pairs_within_pairs_have_a_key() -> None:
    """Objects and arrays are written as the arguments are."""
    shown = form(NESTED + calling("<c={{ c.function.name }}>{{ show(c.function.arguments) }}</c>"))
    pairs = shown.calls.arguments
    assert pairs is not None
    assert (pairs.pair, pairs.item, pairs.values) == (("<", KEY, ">", VALUE, "</", KEY, ">"), "item", Values.TEXT)


def test_strings_may_have_quotes_of_their_own() -> None:
    """As Gemma writes them, with keys that have none; the braces belong to the call."""
    calls = form(BARE + calling("<c>call:{{ c.function.name }}{{ show(c.function.arguments) }}</c>")).calls
    assert calls.call == ("<c>call:", NAME, "{", ARGUMENTS, "}</c>")
    assert calls.arguments == Pairs((KEY, ":", VALUE), ",", Values.BARE, "<|'|>")


@pytest.mark.parametrize(
    ("value", "values"),
    [("{{ v | tojson }}", Values.JSON), ("{{ v | tojson if v is string else v }}", Values.PYTHON)],
)
def test_values_of_pairs_are_told_apart_by_their_literals(value: str, values: Values) -> None:
    """`true` or `True`."""
    pair = f"{{{{ k }}}}: {value}{{% if not loop.last %}}, {{% endif %}}"
    pairs = pairs_of(f"<c>{{{{ c.function.name }}}}({PAIRS}{pair}{{% endfor %}})</c>")
    assert pairs == Pairs((KEY, ": ", VALUE), ", ", values, '"')


TYPES = (
    "{{ 'string' if v is string else 'boolean' if v is boolean else 'number' if v is number "
    "else 'object' if v is mapping else 'null' if v is none else 'array' }}"
)


def test_word_for_a_type_may_be_spelled_as_its_value() -> None:
    """`null` is a word and a value."""
    pairs = pairs_of(
        f'<c n="{{{{ c.function.name }}}}">{PAIRS}<a k="{{{{ k }}}}" t="{TYPES}">{TEXT}</a>{{% endfor %}}</c>'
    )
    assert pairs.pair == ('<a k="', KEY, '" t="', KIND, '">', VALUE, "</a>")
    kinds = dict(pairs.kinds)
    assert kinds.pop("integer") == "number"
    assert kinds == {kind: kind for kind in ("string", "number", "boolean", "array", "object", "null")}


def test_values_may_be_the_words_of_other_types() -> None:
    """What tells texts from others may be `true` for others."""
    word = "{{ 'false' if v is string else 'true' }}"
    pairs = pairs_of(
        f'<c n="{{{{ c.function.name }}}}">{PAIRS}<a k="{{{{ k }}}}" json="{word}">{TEXT}</a>{{% endfor %}}</c>'
    )
    assert dict(pairs.kinds) == {
        **dict.fromkeys(("integer", "number", "boolean", "array", "object", "null"), "true"),
        "string": "false",
    }


def test_arguments_may_be_text_for_the_template() -> None:
    """It is JSON in the rendered call."""
    shown = found(calling("<c>{{ c.function.name }}<a>{{ c.function.arguments }}</c>"), Wants(arguments_in_text=True))
    assert shown.form.calls.call == ("<c>", NAME, "<a>", ARGUMENTS, "</c>")
    assert shown.form.calls.arguments is None


def test_content_may_be_none_beside_calls() -> None:
    """Some templates write calls only then."""
    calls = f"{{% for c in m.tool_calls %}}<c>{JSON}}}</c>{{% endfor %}}"
    source = answering(f"{{% if m.content is none %}}{calls}{{% else %}}{{{{ m.content }}}}{{% endif %}}")
    shown = found(source, Wants(no_content_is_none=True)).form
    assert shown.calls.call == ('<c>{"name": "', NAME, '", "arguments": ', ARGUMENTS, "}</c>")
    assert form(source).is_generic


@pytest.mark.parametrize(
    "said",
    ["<think>\n{{ m.reasoning_content or '' }}\n</think>\n\n{{ m.content }}", f"{SAID}", "<R>{{ m.content }}</R>"],
)
def test_empty_blocks_before_a_call_are_no_part_of_it(said: str) -> None:
    """Templates write thoughts and content also where there are none."""
    calls = form(answering(f"{said}{{% for c in m.tool_calls %}}<c>{JSON}}}</c>{{% endfor %}}")).calls
    assert (calls.opening, calls.call[0], calls.call[-1]) == ("", '<c>{"name": "', "}</c>")


@pytest.mark.parametrize(
    ("call", "opening", "problem"),
    [
        ("<c>{{ c.function.name }}</c>", "", "without its name or arguments"),
        (f"<c>{ARGS}</c>", "", "without its name or arguments"),
        (f'<c>{{"arguments": {ARGS}, "name": "{{{{ c.function.name }}}}"}}</c>', "", "name before its arguments"),
        (f"<c>{JSON}}}</c>", "<calls n={{ m.tool_calls | length }}>", "not written as one is"),
        (f"<c>{{{{ c.function.name }}}}({PAIRS}{TEXT}={{{{ k }}}},{{% endfor %}})</c>", "", "in an unknown way"),
        (
            f'<c n="{{{{ c.function.name }}}}">{PAIRS}<{TYPES} k="{{{{ k }}}}">{TEXT}</a>{{% endfor %}}</c>',
            "",
            "begin otherwise for other types",
        ),
    ],
)
def test_calls_that_are_not_understood_are_a_problem(call: str, opening: str, problem: str) -> None:
    """A form that is half understood would be worse than the service's own, in words."""
    shown = form(calling(call, opening=opening))
    assert shown.is_generic
    assert problem in shown.problem


def test_marker_that_ends_others_belongs_to_what_stands_before_it() -> None:
    """As Kimi K3 writes them: the section's opening ends as a call does."""
    call = f"<|o|>call f={{{{ c.function.name }}}}<|s|>{PAIRS}<|o|>a k={{{{ k }}}}<|s|>{TEXT}<|c|>a<|s|>{{% endfor %}}"
    shown = form(calling(f"{call}<|c|>call<|s|>", opening="<|o|>tools<|s|>", closing="<|c|>tools<|s|>"))
    assert shown.calls.call == ("<|o|>call f=", NAME, "<|s|>", ARGUMENTS, "<|c|>call<|s|>")
    assert (shown.calls.opening, shown.calls.closing) == ("<|o|>tools<|s|>", "<|c|>tools<|s|>")


def test_empty_thoughts_are_no_part_of_a_call_where_content_has_markers() -> None:
    """The template writes them before each answer."""
    said = "<t>{{ m.thinking or '' }}</t>{% if m.content %}<R>{{ m.content }}</R>{% endif %}"
    calls = form(answering(f"{said}{{% for c in m.tool_calls %}}<c>{JSON}}}</c>{{% endfor %}}")).calls
    assert (calls.opening, calls.call[0], calls.call[-1]) == ("", '<c>{"name": "', "}</c>")
