import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from llm_inference_api.errors import CostlyFieldError, InvalidFieldError
from llm_inference_api.grammar.token_mask import Grammars, TokenMask
from llm_inference_api.grammar.tool_grammar import framed, tool_constraint
from llm_inference_api.grammar.trial import Trial
from llm_inference_api.requests.constraint import ArgumentSchema, Constraint, FollowedSchema, Language
from llm_inference_api.requests.tools import Tool, ToolMode, ToolUse
from llm_inference_api.text.families.form import GENERIC, Form, Slot
from llm_inference_api.text.families.thoughts import Thoughts
from tests.grammar.forms import KINDS, Kind
from tests.grammar.grammars import BYTES, bytes_and

SCHEMA = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/text"}, "n": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"text": {"type": "string"}},
}
F, G = Tool("f", "", json.dumps(SCHEMA)), Tool("g", "", '{"type": "object", "not": {}}')
HERMES = KINDS["JSON in markers"]
kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
vocabularies = pytest.mark.parametrize("has_tokens", [False, True], ids=["plain", "tokens"])
"""Markers are text, or special tokens."""


@cache
def grammars(special: tuple[str, ...], ends: tuple[str, ...]) -> Grammars:
    return bytes_and(special, ends)


def vocabulary(kind: Kind, *, has_tokens: bool) -> Grammars:
    return grammars(kind.special, kind.ends) if has_tokens else grammars((), ())


def mask(
    kind: Kind, use: ToolUse, *, has_tokens: bool = False, thoughts: Thoughts = Thoughts.BEFORE
) -> Callable[[str], bool]:
    """Returns whether a text is a whole answer."""
    found = token_mask(kind, use, has_tokens=has_tokens, thoughts=thoughts)
    ends = kind.ends if has_tokens else ()

    def matches(text: str) -> bool:
        for end in ends:
            text = text.removesuffix(end)
        return found.matches(text)

    return matches


def token_mask(kind: Kind, use: ToolUse, *, has_tokens: bool, thoughts: Thoughts = Thoughts.BEFORE) -> TokenMask:
    known = vocabulary(kind, has_tokens=has_tokens)
    constraint = tool_constraint(use, kind.form, known.terminal, known.arguments)
    framed_one = framed(constraint, kind.form, thoughts, known.terminal)
    assert framed_one is not None
    return known.mask(framed_one)


@vocabularies
@kinds
def test_free_answer_is_words_or_calls(kind: Kind, *, has_tokens: bool) -> None:
    """A model that may call writes words, or a call, but no call of a function that it does not have."""
    fits = mask(kind, ToolUse((F, G)), has_tokens=has_tokens)
    assert fits(kind.text)
    assert fits(kind.answer(("g", kind.none)))
    assert fits(kind.answer(("f", kind.good)))
    assert not fits(kind.answer(("f", kind.bad)))
    assert fits(kind.answer(("unknown", kind.none))) == (kind is KINDS["bare JSON"])  # It is data then.


@vocabularies
@kinds
def test_arguments_that_are_required_are_written(kind: Kind, *, has_tokens: bool) -> None:
    """A call without them cannot be written."""
    assert not mask(kind, ToolUse((F, G)), has_tokens=has_tokens)(kind.answer(("f", kind.none)))


@vocabularies
@kinds
def test_free_answer_has_several_calls(kind: Kind, *, has_tokens: bool) -> None:
    """Where the form has parallel calls."""
    fits = mask(kind, ToolUse((F, G)), has_tokens=has_tokens)
    assert fits(kind.answer(("g", kind.none), ("f", kind.good))) == kind.calls.are_parallel
    assert not fits(kind.answer(("g", kind.none), ("f", kind.bad)))


@vocabularies
@kinds
def test_required_answer_is_calls(kind: Kind, *, has_tokens: bool) -> None:
    """A model that must call has no words."""
    fits = mask(kind, ToolUse((F, G), ToolMode.REQUIRED), has_tokens=has_tokens)
    assert fits(kind.answer(("g", kind.none)))
    assert fits(kind.answer(("g", kind.none), ("f", kind.good))) == kind.calls.are_parallel
    assert not fits("")
    assert not fits(kind.text)
    assert not fits(f"well {kind.answer(('g', kind.none))}")


@pytest.mark.parametrize("mode", list(ToolMode))
@vocabularies
@kinds
def test_one_call_where_they_may_not_be_parallel(kind: Kind, *, has_tokens: bool, mode: ToolMode) -> None:
    """Without parallel calls a second one cannot be written, not even as words."""
    fits = mask(kind, ToolUse((F, G), mode, parallel=False), has_tokens=has_tokens)
    one, two = kind.answer(("g", kind.none)), kind.answer(("g", kind.none), ("f", kind.good))
    assert fits(one)
    assert not fits(two)
    assert not fits(f"{one}\n{one}")


@vocabularies
@kinds
def test_named_function_is_called_once(kind: Kind, *, has_tokens: bool) -> None:
    """A request that names a function gets one call of it, and of no other."""
    fits = mask(kind, ToolUse((F, G), ToolMode.REQUIRED, "g"), has_tokens=has_tokens)
    assert fits(kind.answer(("g", kind.none)))
    assert not fits(kind.answer(("f", kind.good)))
    assert not fits(kind.answer(("g", kind.none), ("g", kind.none)))


@vocabularies
@kinds
def test_names_that_begin_like_others_are_told_apart(kind: Kind, *, has_tokens: bool) -> None:
    """One function's name is the beginning of another's, whose arguments differ."""
    fits = mask(kind, ToolUse((replace(F, name="g_more"), replace(G, name="g"))), has_tokens=has_tokens)
    assert fits(kind.answer(("g", kind.none)))
    assert fits(kind.answer(("g_more", kind.good)))
    assert not fits(kind.answer(("g_more", kind.bad)))


def thought(kind: Kind, opening: str | None = None) -> str:
    block = kind.thoughts[0]
    return f"{block.opening if opening is None else opening}hm <x>\n{block.closing}{kind.separator}\n\n"


thinking = pytest.mark.parametrize(
    "kind", [kind for kind in KINDS.values() if kind.thoughts], ids=[name for name in KINDS if KINDS[name].thoughts]
)


@pytest.mark.parametrize("mode", list(ToolMode))
@vocabularies
@thinking
def test_thoughts_may_come_before_the_calls(kind: Kind, *, has_tokens: bool, mode: ToolMode) -> None:
    """In any words, also behind a blank line."""
    fits = mask(kind, ToolUse((F, G), mode), has_tokens=has_tokens)
    assert fits(thought(kind) + kind.answer(("g", kind.none)))
    assert fits("\n" + thought(kind) + kind.answer(("g", kind.none)))


@vocabularies
@thinking
def test_opened_thoughts_end_before_the_calls(kind: Kind, *, has_tokens: bool) -> None:
    """A model whose answers begin inside its thoughts ends these first."""
    use = ToolUse((F, G), ToolMode.REQUIRED)
    fits = mask(kind, use, has_tokens=has_tokens, thoughts=Thoughts.OPENED)
    assert fits(thought(kind, "") + kind.answer(("g", kind.none)))
    assert fits(thought(kind) + kind.answer(("g", kind.none)))
    assert not fits(thought(kind, ""))


@pytest.mark.parametrize("mode", list(ToolMode))
def test_opened_thoughts_may_end_with_an_answer_whose_markers_are_tokens(mode: ToolMode) -> None:
    """Some models leave out the end of their thoughts. Markers in plain text may be thoughts about markers."""
    kind = KINDS["tokens with kinds"]
    block = kind.contents[0]
    answer = f"hm{block.opening}{block.closing}" + kind.answer(("g", kind.none))
    for has_tokens in (True, False):
        fits = mask(kind, ToolUse((F, G), mode), has_tokens=has_tokens, thoughts=Thoughts.OPENED)
        assert fits(answer) is has_tokens


def test_opened_thoughts_end_with_a_required_call_if_one_of_its_markers_is_a_token() -> None:
    """Another in plain text is a thought."""
    kind = HERMES
    other = replace(kind, calls=replace(kind.form.calls, others=(("CALL", Slot.NAME, Slot.ARGUMENTS),)))
    fits = mask(other, ToolUse((F, G), ToolMode.REQUIRED), has_tokens=True, thoughts=Thoughts.OPENED)
    assert fits("hm CALL " + kind.answer(("g", kind.none)))
    assert not fits("hm CALLg{}")


@vocabularies
@thinking
def test_no_thoughts_where_the_template_has_closed_them(kind: Kind, *, has_tokens: bool) -> None:
    """The answer begins, perhaps behind blank lines."""
    use = ToolUse((F, G), ToolMode.REQUIRED)
    fits = mask(kind, use, has_tokens=has_tokens, thoughts=Thoughts.CLOSED)
    assert fits("\n\n" + kind.answer(("g", kind.none)))
    assert not fits(thought(kind) + kind.answer(("g", kind.none)))


def written(found: TokenMask, tokens: list[int]) -> set[int]:
    """Returns the tokens that are allowed after others, each of which is."""
    for token in tokens:
        assert token in found.allowed()
        found.accept(token)
    return set(found.allowed())


parallel = pytest.mark.parametrize(
    "kind",
    [kind for kind in KINDS.values() if kind.calls.are_parallel],
    ids=[name for name in KINDS if KINDS[name].calls.are_parallel],
)


@vocabularies
@parallel
def test_repeated_call_is_the_last(kind: Kind, *, has_tokens: bool) -> None:
    """A model that must call, and makes the same call again, would do so until it is cut. Ids may differ."""
    use = ToolUse((F, G), ToolMode.REQUIRED)
    known = vocabulary(kind, has_tokens=has_tokens)

    def after(*calls: tuple[str, str]) -> set[int]:
        text = kind.answer(*calls).removesuffix(kind.closing).rstrip()
        return written(token_mask(kind, use, has_tokens=has_tokens), known.tokens(text))

    assert len(after(("f", kind.good), ("g", kind.none))) > 1
    end = after(("g", kind.none), ("g", kind.none))
    again = after(("g", kind.none), ("f", kind.good), ("f", kind.good))
    assert end == again
    space = kind.call[len(kind.call.rstrip()) :]
    if kind.closing:
        assert end == {known.tokens(space + kind.closing)[0]}
    else:
        assert end == {known.tokens("<end>")[0]}


def test_call_that_is_repeated_later_is_the_last() -> None:
    """Models also go through several calls in turn."""
    calls = [("g", f'{{"a":{n}}}') for n in (1, 2, 3, 2)]
    use = ToolUse((Tool("g", "", '{"properties": {"a": {"type": "integer"}}}'),), ToolMode.REQUIRED)
    three, four = (list(HERMES.answer(*calls[:count]).encode()) for count in (3, 4))
    assert ord("\n") in written(token_mask(HERMES, use, has_tokens=False), three)
    assert ord("\n") not in written(token_mask(HERMES, use, has_tokens=False), four)


def test_strict_schema_that_cannot_be_followed_is_refused() -> None:
    """A strict tool's schema is a condition; others' keywords that cannot be followed are left out and named."""
    found = tool_constraint(ToolUse((G,)), HERMES.form, BYTES.terminal, BYTES.arguments)
    assert found.ignored == ("tools.not",)
    with pytest.raises(InvalidFieldError, match=r'^tools: .*Unimplemented keys: ."not"'):
        mask(HERMES, ToolUse((Tool("g", "", G.parameters, strict=True),)))


@vocabularies
@kinds
def test_answer_without_calls_follows_the_words(kind: Kind, *, has_tokens: bool) -> None:
    """Where a request restricts its answer too, words are those of the restriction, between the content's markers."""
    known = vocabulary(kind, has_tokens=has_tokens)
    words = Constraint(Language.CHOICE, '["yes", "no"]', "choice")
    constraint = tool_constraint(ToolUse((F, G)), kind.form, known.terminal, known.arguments, words)
    found = known.mask(constraint)
    block = kind.contents[0] if kind.contents else None
    yes, other = (f"{block.opening if block else ''}{word}" for word in ("yes", "hello"))
    assert found.matches(yes)
    assert found.matches(kind.answer(("g", kind.none)).removesuffix("<|call|>" if has_tokens else ""))
    assert not any(found.matches(text) for text in ("", other, f"{yes}{kind.answer(('g', kind.none))}"))


@pytest.mark.parametrize("text", ['{"name": "Bob"}', '{"name": "g"}'[:-3], '{"a": 1}', '[1, {"name": "g"', "{"])
def test_data_may_be_the_answer_where_calls_are_data(text: str) -> None:
    """An answer that is JSON need not be a call, unless it has a function's name."""
    assert mask(KINDS["bare JSON"], ToolUse((F, G)))(text)


@pytest.mark.parametrize("text", ['{"name": "g"}', ' {"name": "g", "x": 1}', '{"name":"g"'])
def test_data_with_the_name_of_a_function_is_a_call(text: str) -> None:
    """It has the function's arguments then."""
    assert not mask(KINDS["bare JSON"], ToolUse((F, G)))(text)


@pytest.mark.parametrize("text", ["a <tool_call", "<tool_calls>", "see <function = f>", "</tool_call>"])
def test_what_is_no_marker_is_text(text: str) -> None:
    """Only a form's own marker begins a call."""
    assert mask(KINDS["tags"], ToolUse((F, G)))(text)


@vocabularies
def test_marker_of_another_pattern_begins_a_call(*, has_tokens: bool) -> None:
    """Models of some families leave out the first of two markers."""
    fits = mask(KINDS["tags"], ToolUse((F, G)), has_tokens=has_tokens)
    assert fits("Well.\n<function=g>\n</function>\n</tool_call>")
    assert not fits("Well.\n<function=h>\n</function>\n</tool_call>")


@vocabularies
def test_call_without_a_marker_may_have_one(*, has_tokens: bool) -> None:
    """In some families a token says that a call follows, and may be left out at the answer's start."""
    bare = KINDS["bare JSON"]
    other = replace(bare.calls, others=((f"<|python_tag|>{bare.calls.call[0]}", *bare.calls.call[1:]),))
    kind = replace(bare, calls=other, special=("<|python_tag|>",))
    fits = mask(kind, ToolUse((F, G)), has_tokens=has_tokens)
    call = kind.answer(("f", kind.good))
    assert fits(call)
    assert fits(f"<|python_tag|>{call}")
    assert fits(f"Well.<|python_tag|>{call}")
    assert fits('{"a": 1}')
    assert not fits(f"<|python_tag|>{kind.answer(('f', kind.bad))}")
    assert not fits(f"Well.<|python_tag|>{kind.answer(('h', '{}'))}")


def test_words_are_not_thoughts_that_are_open() -> None:
    """Where a request restricts its answer too, thoughts end before it."""
    words = Constraint(Language.CHOICE, '["yes", "no"]', "choice")
    known = bytes_and(())
    constraint = tool_constraint(ToolUse((F, G)), HERMES.form, known.terminal, known.arguments, words)
    found = framed(constraint, HERMES.form, Thoughts.OPENED, known.terminal)
    assert found is not None
    assert known.mask(found).matches("hm</think>yes")
    assert not known.mask(found).matches("yes")
    assert not known.mask(found).matches("hm")


@vocabularies
def test_section_may_lack_its_opening_where_models_leave_it_out(*, has_tokens: bool) -> None:
    """Its calls are calls all the same."""
    kind = KINDS["indexed"]
    omitting = replace(kind.form.calls, may_omit_opening=True)
    call = kind.answer(("g", "{}")).removeprefix(kind.opening).removesuffix(kind.closing)
    other = replace(kind, calls=omitting)
    for mode in ToolMode:
        assert mask(other, ToolUse((F, G), mode), has_tokens=has_tokens)(call)
    assert not mask(other, ToolUse((F, G)), has_tokens=has_tokens)(call.replace(".g", ".h"))


def test_calls_without_an_opening_may_lack_the_token_that_ends_each() -> None:
    """Models that leave out the markers of the section leave out those of the calls too."""
    kind = KINDS["indexed"]
    other = replace(kind, calls=replace(kind.form.calls, may_omit_opening=True))
    use = ToolUse((F, G), ToolMode.REQUIRED)
    ended = kind.answer(("g", "{}"), ("g", "{}")).removeprefix(kind.opening).removesuffix(kind.closing)
    (end,) = {part for part in kind.special if ended.endswith(part)}
    fits = mask(other, use, has_tokens=True)
    assert fits(ended.replace(end, ""))
    assert not fits(kind.opening + ended.replace(end, "") + kind.closing)
    assert not mask(other, use)(ended.replace(end, ""))


def test_characters_before_a_token_are_text_where_it_does_not_follow() -> None:
    """The `<` before DeepSeek's token begins no call, and the `</` before it ends no value."""
    kind = KINDS["tags with kinds"]
    value = kind.good.replace("<b>", "if a < b: </p>")
    for mode in ToolMode:
        fits = mask(kind, ToolUse((F, G), mode), has_tokens=True, thoughts=Thoughts.OPENED)
        assert fits(f"a < b </{kind.thoughts[0].closing}\n\n{kind.answer(('f', value))}")
        assert fits(f"a < b\n\n{kind.answer(('f', value))}")
    free = mask(kind, ToolUse((F, G)), has_tokens=True)
    assert free("a < b </p>")
    assert free(f"a < b\n\n{kind.answer(('f', value))}")
    assert not free(f"a < b\n\n{kind.answer(('f', kind.bad))}")


@vocabularies
def test_blocks_follow_each_other(*, has_tokens: bool) -> None:
    """Thoughts, content, thoughts again, and a call, with what stands between them."""
    kind = KINDS["channels"]
    think = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant"
    say = "<|channel|>commentary<|message|>I call.<|end|><|start|>assistant"
    fits = mask(kind, ToolUse((F, G)), has_tokens=has_tokens)
    assert fits(think + say + think + kind.answer(("f", kind.good)))
    assert not fits(think + say + think + kind.answer(("f", kind.bad)))
    assert not fits(kind.answer(("g", "{}")) + "<|start|>assistant" + kind.answer(("g", "{}")))


@vocabularies
def test_empty_content_may_stand_before_calls(*, has_tokens: bool) -> None:
    """Some models write its markers always."""
    kind = KINDS["tokens with kinds"]
    block, call = kind.contents[0], kind.answer(("g", ""))
    for mode in ToolMode:
        fits = mask(kind, ToolUse((F, G), mode), has_tokens=has_tokens)
        assert fits(f"{block.opening}{block.closing}{call}{kind.ending}")
        assert fits(f"{block.opening}hello{block.closing}{call}") == (mode is ToolMode.AUTO)


def schema_answer(form: Form, known: Grammars, thoughts: Thoughts) -> Callable[[str], bool]:
    constraint = Constraint(Language.JSON_SCHEMA, '{"type": "object"}', "json_schema")
    found = framed(constraint, form, thoughts, known.terminal)
    assert found is not None
    return known.mask(found).matches


@vocabularies
@kinds
def test_restricted_answer_stands_between_the_markers_of_content(kind: Kind, *, has_tokens: bool) -> None:
    """A model that is trained on them writes them, and thinks before."""
    known = vocabulary(kind, has_tokens=has_tokens)
    fits = schema_answer(kind.form, known, Thoughts.BEFORE)
    opening = kind.contents[0].opening if kind.contents else ""
    closing = kind.contents[0].closing if kind.contents and kind.contents[0].closing not in kind.ends else ""
    assert fits(f"{opening}{{}}{closing}")
    assert fits("{}") == (not opening)
    assert not fits(f"{opening}hello{closing}")
    if kind.thoughts:
        assert fits(f"{thought(kind)}{opening}{{}}{closing}")


@vocabularies
@thinking
def test_restricted_answer_follows_opened_thoughts(kind: Kind, *, has_tokens: bool) -> None:
    """These end first; where they are closed, there are none."""
    known = vocabulary(kind, has_tokens=has_tokens)
    opening = kind.contents[0].opening if kind.contents else ""
    after = schema_answer(kind.form, known, Thoughts.INSIDE)
    assert after(f"{thought(kind, '')}{opening}{{}}")
    assert not after(f"{opening}{{}}")
    closed = schema_answer(kind.form, known, Thoughts.CLOSED)
    assert closed(f"\n\n{opening}{{}}")
    assert not closed(f"{thought(kind)}{opening}{{}}")


@vocabularies
@kinds
def test_continued_content_has_neither_thoughts_nor_opening(kind: Kind, *, has_tokens: bool) -> None:
    """The prompt ends in the content."""
    fits = schema_answer(kind.form, vocabulary(kind, has_tokens=has_tokens), Thoughts.AFTER)
    assert fits("{}")
    assert not fits("\n{}")


@vocabularies
def test_continued_content_may_be_followed_by_calls(*, has_tokens: bool) -> None:
    """Behind its closing marker."""
    kind = KINDS["a section after content with markers"]
    fits = mask(kind, ToolUse((F, G)), has_tokens=has_tokens, thoughts=Thoughts.AFTER)
    assert fits(" you")
    assert fits(f" you<|END_RESPONSE|>{kind.answer(('f', kind.good))}")
    assert not fits(f" you<|END_RESPONSE|>{kind.answer(('f', kind.bad))}")


def test_instruction_in_words_teaches_no_thoughts() -> None:
    """A model without tools in its template is not known to think, unless it has a token for that."""
    plain = schema_answer(GENERIC, BYTES, Thoughts.BEFORE)
    assert plain("{}")
    assert not plain("<think>hm</think>{}")
    assert schema_answer(GENERIC, bytes_and(["<think>", "</think>"]), Thoughts.BEFORE)("<think>hm</think>{}")


@pytest.mark.parametrize(
    ("has_tokens", "mode", "is_allowed"),
    [(True, ToolMode.AUTO, True), (True, ToolMode.REQUIRED, True), (False, ToolMode.REQUIRED, False)],
)
def test_call_may_end_thoughts_where_it_begins_with_a_token(
    *, has_tokens: bool, mode: ToolMode, is_allowed: bool
) -> None:
    """Some models call without closing their thoughts. As text, the marker may be a thought."""
    fits = mask(HERMES, ToolUse((F, G), mode), has_tokens=has_tokens, thoughts=Thoughts.OPENED)
    assert fits(f"I call.\n{HERMES.answer(('g', '{}'))}") == is_allowed
    assert not fits(f"I call.\n{HERMES.answer(('h', '{}'))}")


@pytest.mark.parametrize("mode", list(ToolMode))
@pytest.mark.parametrize("name", ["JSON in markers", "name and JSON", "Python", "bare values", "indexed"])
@vocabularies
def test_thoughts_may_have_calls_in_them(name: str, mode: ToolMode, *, has_tokens: bool) -> None:
    """A model thinks of what it could write. Where markers are tokens, that has to be a valid call."""
    kind = KINDS[name]
    fits = mask(kind, ToolUse((F, G), mode, parallel=False), has_tokens=has_tokens, thoughts=Thoughts.OPENED)
    block, call = kind.thoughts[0], kind.answer(("f", kind.good))
    assert fits(f"I could write {call} or so.{block.closing}\n{call}")
    wrong = kind.answer(("f", kind.bad))
    assert fits(f"I could write {wrong} or so.{block.closing}\n{call}") == (not has_tokens)
    assert not fits(f"I could write {call} or so.{block.closing}\n{wrong}")


@pytest.mark.parametrize("name", ["JSON in markers", "name and JSON", "Python", "tags"])
def test_thoughts_that_the_model_opens_in_words_may_have_calls_in_them(name: str) -> None:
    """What begins with the thoughts' marker is no text, so that a call in them is none."""
    kind = KINDS[name]
    block, call, wrong = kind.thoughts[0], kind.answer(("f", kind.good)), kind.answer(("f", kind.bad))
    fits = mask(kind, ToolUse((F, G), parallel=False))
    assert fits(f"{block.opening}I could write {wrong} or so.{block.closing}\n{call}")
    assert not fits(f"{block.opening}I could write {call} or so.{block.closing}\n{wrong}")


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


@kinds
def test_as_many_functions_as_a_request_may_have(kind: Kind) -> None:
    """Each with parameters of all types, within the limits of compiling."""
    properties = {
        f"p{index}": schema
        for index, schema in enumerate(
            [
                {"type": "string"},
                {"type": "string", "maxLength": 100},
                {"type": "string", "pattern": "^[a-z]+$"},
                {"enum": ["red", "green"]},
                {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
                {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                {"type": "object"},
            ]
        )
    }
    tools = tuple(Tool(f"f{n}", "", json.dumps({"properties": {**properties, f"q{n}": {}}})) for n in range(128))
    assert mask(kind, ToolUse(tools))(kind.text)


BRANCHES = {"$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 8} for n in range(20)}}


def test_work_for_combined_schemas_is_bounded() -> None:
    """Reading all of their combinations would take years."""
    tool = Tool("f", "", json.dumps({"properties": {"a": {"$ref": "#/$defs/d0"}}, **BRANCHES}))
    with pytest.raises(CostlyFieldError, match=r"^tools: takes too long"):
        tool_constraint(
            ToolUse((tool,)),
            KINDS["tags"].form,
            BYTES.terminal,
            lambda _: [FollowedSchema(json.loads(tool.parameters), ())],
        )
