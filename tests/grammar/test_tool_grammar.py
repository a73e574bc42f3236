import json
from dataclasses import replace

import pytest

from llm_inference_api.errors import CostlyFieldError, InvalidFieldError
from llm_inference_api.grammar.constraint import TokenMask
from llm_inference_api.grammar.tool_grammar import tool_constraint
from llm_inference_api.grammar.trial import Trial
from llm_inference_api.requests.constraint import ArgumentSchema, Constraint, Language
from llm_inference_api.requests.tools import Tool, ToolMode, ToolUse
from llm_inference_api.text.families.thoughts import thoughts_rules
from llm_inference_api.text.families.tool_format import ToolFormat
from tests.grammar.grammars import BYTES
from tests.text.families.test_answer_reader import CALLS

SCHEMA = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/text"}},
    "additionalProperties": False,
    "$defs": {"text": {"type": "string"}},
}
F, G = Tool("f", "", json.dumps(SCHEMA)), Tool("g", "", '{"type": "object", "not": {}}')
ONE = {
    ToolFormat.HERMES: '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    ToolFormat.GENERIC: '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
    ToolFormat.LLAMA: '{"name": "g", "parameters": {}}',
    ToolFormat.MISTRAL: '[TOOL_CALLS][{"name": "g", "arguments": {}}]',
    ToolFormat.MISTRAL_ARGS: "[TOOL_CALLS]g[ARGS]{}",
}
TWO = {
    form: CALLS[ToolFormat.HERMES if form is ToolFormat.GENERIC else form].replace('{"a": "<b>"}', '{"a":"<b>"}')
    for form in ToolFormat
}
"""Arguments are written without white space."""


def mask(form: ToolFormat, use: ToolUse, *, after_thoughts: bool = False) -> TokenMask:
    constraint = tool_constraint(use, form, json.dumps, BYTES.arguments)
    before = thoughts_rules(json.dumps, opened=after_thoughts)
    return BYTES.mask(replace(constraint, before=before))


@pytest.mark.parametrize("form", list(ToolFormat))
def test_free_answer_is_words_or_calls(form: ToolFormat) -> None:
    """A model that may call writes words, a call or several, but no call of a tool that it does not have."""
    found = mask(form, ToolUse((F, G)))
    assert all(found.matches(text) for text in ("", "hello\nyou", ONE[form], TWO[form]))
    assert not found.matches(ONE[form].replace("g", "unknown", 1))
    assert not found.matches(TWO[form].replace('"<b>"', "1"))


@pytest.mark.parametrize("form", list(ToolFormat))
def test_required_answer_is_calls(form: ToolFormat) -> None:
    """A model that must call has no words."""
    found = mask(form, ToolUse((F, G), ToolMode.REQUIRED))
    assert found.matches(ONE[form])
    assert found.matches(TWO[form])
    assert not found.matches("")
    assert not found.matches(f"well {ONE[form]}")


@pytest.mark.parametrize("mode", list(ToolMode))
@pytest.mark.parametrize("form", list(ToolFormat))
def test_one_call_where_they_may_not_be_parallel(form: ToolFormat, mode: ToolMode) -> None:
    """Without parallel calls a second one cannot be written, not even as words."""
    found = mask(form, ToolUse((F, G), mode, parallel=False))
    assert found.matches(ONE[form])
    assert not found.matches(TWO[form])


def test_named_tool_is_the_only_one() -> None:
    """A request that names a tool gets its call."""
    found = mask(ToolFormat.HERMES, ToolUse((F, G), ToolMode.REQUIRED, "f"))
    assert not found.matches(ONE[ToolFormat.HERMES])


def test_named_tool_is_called_once() -> None:
    """A request that names a tool gets one call of it, not several, also where calls may be parallel."""
    found = mask(ToolFormat.HERMES, ToolUse((F, G), ToolMode.REQUIRED, "g"))
    assert found.matches(ONE[ToolFormat.HERMES])
    assert not found.matches(f"{ONE[ToolFormat.HERMES]}\n{ONE[ToolFormat.HERMES]}")


def written(found: TokenMask, text: str) -> set[int]:
    """Returns the tokens that are allowed after a text, each character of which is."""
    for byte in text.encode():
        assert byte in found.allowed()
        found.accept(byte)
    return set(found.allowed())


@pytest.mark.parametrize("form", list(ToolFormat))
def test_repeated_call_is_the_last(form: ToolFormat) -> None:
    """A model that must call, and makes the same call again, would do so until it is cut."""
    use = ToolUse((Tool("g", "", '{"properties": {"a": {"type": "integer"}}}'),), ToolMode.REQUIRED)
    two = TWO[form].replace('"f"', '"g"').replace("f[ARGS]", "g[ARGS]")
    different = two.replace('{"a":"<b>"}', '{"a":1}')
    after = written(mask(form, use), different.removesuffix("]"))
    assert len(after) > 1
    same = different.replace('{"a":1}', "{}")
    end = written(mask(form, use), same)
    assert end
    assert all(token >= 256 for token in end)
    assert form is not ToolFormat.MISTRAL or written(mask(form, use), same.removesuffix("]")) == {ord("]")}


def test_call_that_is_repeated_later_is_the_last() -> None:
    """Models also go through several calls in turn."""
    calls = [f'<tool_call>\n{{"name": "g", "arguments": {{"a":{n}}}}}\n</tool_call>' for n in (1, 2, 3, 2)]
    use = ToolUse((Tool("g", "", '{"properties": {"a": {"type": "integer"}}}'),), ToolMode.REQUIRED)
    assert ord("\n") in written(mask(ToolFormat.HERMES, use), "\n".join(calls[:3]))
    assert ord("\n") not in written(mask(ToolFormat.HERMES, use), "\n".join(calls))


def test_strict_schema_that_cannot_be_followed_is_refused() -> None:
    """A strict tool's schema is a condition; others' keywords that cannot be followed are left out and named."""
    assert tool_constraint(ToolUse((G,)), ToolFormat.HERMES, json.dumps, BYTES.arguments).ignored == ("tools.not",)
    with pytest.raises(InvalidFieldError, match=r'^tools: .*Unimplemented keys: ."not"'):
        mask(ToolFormat.HERMES, ToolUse((Tool("g", "", G.parameters, strict=True),)))


def test_thoughts_come_before_the_calls() -> None:
    """A model whose answers begin inside its thoughts ends these first, in any words."""
    found = mask(ToolFormat.HERMES, ToolUse((F, G), ToolMode.REQUIRED), after_thoughts=True)
    assert found.matches("hm <x>\n</think>\n\n" + ONE[ToolFormat.HERMES])
    assert not found.matches(ONE[ToolFormat.HERMES])


@pytest.mark.parametrize("form", list(ToolFormat))
def test_answer_without_calls_follows_the_words(form: ToolFormat) -> None:
    """Where a request restricts its answer too, words are those of the restriction."""
    words = Constraint(Language.CHOICE, '["yes", "no"]', "choice")
    constraint = tool_constraint(ToolUse((F, G)), form, json.dumps, BYTES.arguments, words)
    found = BYTES.mask(constraint)
    assert all(found.matches(text) for text in ("yes", ONE[form], TWO[form]))
    assert not any(found.matches(text) for text in ("", "hello", f"yes{ONE[form]}"))


def test_schemas_that_cost_too_much_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each within the limit of one, but a request may have 128 of them."""
    tried: list[str] = []

    def problem(trial: Trial, grammar: str) -> str:
        tried.append(grammar)
        trial.seconds += 0.9
        return ""

    monkeypatch.setattr(Trial, "problem", problem)
    with pytest.raises(CostlyFieldError, match="tools: takes too long, or too much memory, to compile"):
        BYTES.arguments([ArgumentSchema(f'{{"maxProperties": {index}}}', "tools", False) for index in range(128)])
    assert len(tried) == 3
