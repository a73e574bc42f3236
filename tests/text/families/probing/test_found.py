"""Forms found from small templates, one for each way of writing."""

from collections.abc import Mapping, Sequence

import pytest

from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.form import Block, Form, Slot, Values
from llm_inference_api.text.families.probing.found import Found, form_of
from llm_inference_api.text.families.probing.probes import CostlyError, RefusedError
from llm_inference_api.text.template_environment import environment
from llm_inference_api.text.template_input import Wants, template_input

NAME, ARGUMENTS, ID, INDEX, KEY, VALUE, KIND = (
    Slot.NAME,
    Slot.ARGUMENTS,
    Slot.ID,
    Slot.INDEX,
    Slot.KEY,
    Slot.VALUE,
    Slot.KIND,
)
TOOLS = "{% if tools %}<tools>{{ tools | tojson }}</tools>{% endif %}"
PAIRS = "{% for k, v in c.function.arguments.items() %}"
TEXT = "{{ v if v is string else v | tojson }}"


def answering(answer: str, *, tools: str = TOOLS, begin: str = "") -> str:
    """Returns a template whose assistant writes the answer."""
    return (
        f"{tools}{{% for m in messages %}}{{% if m.role == 'assistant' %}}<|assistant|>{answer}<|end|>"
        "{% else %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
        f"{{% if add_generation_prompt %}}<|assistant|>{begin}{{% endif %}}"
    )


def calling(call: str, *, opening: str = "", separator: str = "", closing: str = "", tools: str = TOOLS) -> str:
    """Returns a template whose assistant writes calls so."""
    each = f"{{% for c in m.tool_calls %}}{call}{{% if not loop.last %}}{separator}{{% endif %}}{{% endfor %}}"
    section = f"{{% if m.tool_calls %}}{opening}{each}{closing}{{% endif %}}"
    return answering("{{ m.content }}" + section, tools=tools)


def found(source: str, wants: Wants = Wants()) -> Found:  # noqa: B008 - immutable
    """Returns what the template shows."""
    template = environment().from_string(source)

    def render(
        messages: Sequence[Message], tools: Sequence[Tool], variables: Mapping[str, object], *, begins: bool
    ) -> str:
        try:
            return template.render(template_input(messages, tools, wants, variables, begins=begins))
        except Exception as error:
            raise RefusedError(str(error)) from error

    return form_of(render, source)


def form(source: str) -> Form:
    """Returns the form that the template shows."""
    return found(source).form


JSON = '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}'


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


def test_calls_of_a_template_without_tools_are_its_own() -> None:
    """The service describes the tools, in the template's syntax."""
    shown = form(calling(f"<c>{JSON}}}</c>", tools=""))
    assert (shown.is_generic, shown.shows_tools, shown.shows_calls) == (False, False, True)


def test_tools_without_calls_are_known_by_their_markers() -> None:
    """The prompt says which syntax it asks for."""
    shown = form(answering("{{ m.content }}", tools="{% if tools %}<|tool_list_start|>{{ tools | tojson }}{% endif %}"))
    assert (shown.name, shown.shows_tools, shown.shows_calls) == ("python", True, False)


def test_calls_in_an_unknown_way_are_taught_in_words() -> None:
    """What was seen goes into the log."""
    shown = form(calling("<c>{{ c.function.arguments | tojson }}: {{ c.function.name }}</c>"))
    assert shown.is_generic
    assert "before" in shown.problem


def test_template_that_costs_too_much_is_asked_once() -> None:
    """Its limit is that of one chat, not of thirty."""
    asked = 0

    def endless(*_: object, **__: object) -> str:
        nonlocal asked
        asked += 1
        raise CostlyError("takes too long")

    shown = form_of(endless, "").form
    assert (shown.is_generic, shown.problem, asked) == (True, "takes too long", 1)


SAID = "{% if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}{{ m.content }}"


@pytest.mark.parametrize(
    ("source", "block"),
    [
        (answering(SAID), Block("<think>", "</think>")),
        (
            answering(SAID.replace("m.reasoning_content", "m.thinking").replace("think>\n", "t>\n")),
            Block("<t>", "</t>"),
        ),
        (answering("<think>\n\n</think>\n\n{{ m.content }}", begin="<think>\n"), Block("<think>", "</think>")),
        (
            answering("{% if m.thinking %}{{ m.thinking }}[BEGIN ANSWER]{% endif %}{{ m.content }}"),
            Block("", "[BEGIN ANSWER]"),
        ),
        (answering(SAID.replace("<think>", "[THINK]").replace("</think>", "[/THINK]")), Block("[THINK]", "[/THINK]")),
    ],
)  # fmt: skip
def test_markers_of_thoughts(source: str, block: Block) -> None:
    """From what the assistant has said, or from how an answer begins."""
    shown = form(source)
    assert (shown.thoughts, shown.shows_thoughts) == ((block,), True)


def test_template_without_thoughts_leaves_them_to_the_model() -> None:
    """Many models think without their template's knowing."""
    shown = form(answering("{{ m.content }}"))
    assert (shown.thoughts, shown.shows_thoughts) == ((Block("<think>", "</think>"),), False)


def test_channels_have_markers_for_content_and_between() -> None:
    """As gpt-oss and Solar write them."""
    said = (
        "{% if m.reasoning %}<|c|>think<|m|>{{ m.reasoning }}<|x|><|assistant|>{% endif %}<|c|>say<|m|>{{ m.content }}"
    )
    shown = form(answering(said))
    assert shown.thoughts == (Block("<|c|>think<|m|>", "<|x|>"),)
    assert shown.contents[0].opening == "<|c|>say<|m|>"
    assert shown.between == "<|assistant|>"


@pytest.mark.parametrize(
    ("begin", "switch"),
    [
        ("{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}", (True, False, True)),
        ("{% if thinking %}<think>{% else %}</think>{% endif %}", (True, False, False)),
    ],
)
def test_switch_is_found_by_its_effect(begin: str, switch: tuple[object, ...]) -> None:
    """With what is so where nothing is said."""
    shown = form(answering(SAID, begin=begin)).switch
    assert shown is not None
    assert (shown.on, shown.off, shown.default) == switch


def test_literals_are_the_structure() -> None:
    """What stands around the words, whatever their role."""
    structure = "".join(found(calling(f"<c>{JSON}}}</c>")).structure)
    assert all(text in structure for text in ("<|user|>", "<|end|>", "<|assistant|>", "<c>", "</c>"))
    assert "zq" not in structure
