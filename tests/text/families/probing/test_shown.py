"""What a template shows as a whole."""

import pytest

from llm_inference_api.text.families.probing.probes import CostlyError
from llm_inference_api.text.families.probing.shown import form_of
from tests.text.families.probing.templates import JSON, PAIRS, SAID, TEXT, answering, calling, form, found


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


def test_template_that_refuses_every_chat_has_no_problem_with_calls() -> None:
    """It shows nothing, not even tools, so that nothing of them can be misunderstood."""
    shown = form("{{ raise_exception('closed') }}")
    assert (shown.is_generic, shown.problem, shown.switch) == (True, "", None)


@pytest.mark.parametrize(("tools", "problem"), [(None, "the template refuses an answer that calls a tool"), ("", "")])
def test_template_that_refuses_calls_is_a_problem_if_it_describes_tools(tools: str | None, problem: str) -> None:
    """Others were never meant to call."""
    refusing = "{{ raise_exception('none') }}"
    shown = form(calling(refusing) if tools is None else calling(refusing, tools=tools))
    assert (shown.is_generic, shown.problem) == (True, problem)


VALUE = "{{ v | tojson if v is string else v }}"


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (f"<c>{JSON}}}</c>", "json"),
        (f"<c>{{{{ c.function.name }}}}|{PAIRS}<k>{{{{ k }}}}</k><v>{TEXT}</v>{{% endfor %}}</c>", "tags"),
        (f"<c>{{{{ c.function.name }}}}|{PAIRS}{{{{ k }}}}: {{{{ v | tojson }}}};{{% endfor %}}</c>", "pairs"),
        (f"<c>{{{{ c.function.name }}}}|{PAIRS}{{{{ k }}}}: {VALUE};{{% endfor %}}</c>", "python"),
    ],
)  # fmt: skip
def test_form_is_named_by_how_arguments_are_written(call: str, name: str) -> None:
    """For people."""
    assert form(calling(call)).name == name
