import json

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.grammar.token_mask import TokenMask
from llm_inference_api.grammar.tool_grammar import framed
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.text.families.form import CallForm, Form, MarkedBlock, Slot
from llm_inference_api.text.families.thoughts import Thoughts
from tests.fakes.bombs import SCHEMAS
from tests.grammar.grammars import BYTES, bytes_and


def mask(language: Language, source: str) -> TokenMask:
    return BYTES.mask(Constraint(language, source, "field"))


def first(found: TokenMask) -> bytes:
    return bytes(token for token in found.allowed() if token < 256)


def test_choice_allows_the_first_letters_of_its_texts() -> None:
    """Before anything is written, each text may begin."""
    assert first(mask(Language.CHOICE, json.dumps(["yes", "no", 'a"\n\\ü']))) == b"any"


@pytest.mark.parametrize("text", ["yes", 'a"\n\\ü', "/x/ | y", "\x7f", "\x00\x1b", "😀\u2028\U0010ffff"])
def test_choice_matches_its_texts_as_they_are(text: str) -> None:
    """Characters that mean something in a grammar mean themselves in a choice."""
    found = mask(Language.CHOICE, json.dumps([text, "other"]))
    assert found.matches(text)
    assert not found.matches(text + "x")


@pytest.mark.parametrize("source", ["{}", '{"type": "object"}', "[null]", '{"grammars": [5]}', '{"grammars": []}'])
def test_lark_that_is_json_is_refused_as_lark(source: str) -> None:
    """What llguidance would take as a whole grammar of its own is read in the language that the request names."""
    with pytest.raises(InvalidFieldError, match=r"field: cannot be followed: .* expecting rule, token or statement"):
        mask(Language.LARK, source)


def test_accepted_token_moves_the_mask_on() -> None:
    """After a token, the allowed ones are those that continue it."""
    found = mask(Language.REGEX, "ab|ac")
    assert first(found) == b"a"
    found.accept(ord("a"))
    assert first(found) == b"bc"


def test_beginning_is_no_match() -> None:
    """A text that must go on is not complete."""
    found = mask(Language.JSON_SCHEMA, '{"type": "object"}')
    assert found.matches('{"a":[1]}')
    assert not found.matches('{"a":[1]')


@pytest.mark.parametrize("text", ['{"a": 1}', '{"a":1 }', '{\n"a":1}', '{"a":1}\n', ' {"a":1}'])
def test_json_is_compact(text: str) -> None:
    """JSON has no white space, with which small models would fill their answers; values have theirs."""
    found = mask(Language.JSON_SCHEMA, '{"type": "object"}')
    assert found.matches('{"a":1,"b":[" ",2]}')
    assert not found.matches(text)


@pytest.mark.parametrize(
    ("language", "source", "problem"),
    [
        (Language.REGEX, "(", "unclosed group"),
        (Language.REGEX, "(?=a)b", "look-around"),
        (Language.REGEX, "a\\\\\\", "a backslash that escapes nothing"),
        (Language.LARK, "start: foo", "unknown name"),
        (Language.JSON_SCHEMA, '{"type": "integer", "minimum": 5, "maximum": 3}', "Unsatisfiable"),
        (Language.JSON_SCHEMA, '{"$ref": "http://example.com/x"}', "refers to another document"),
        (Language.JSON_SCHEMA, '{"not": {}}', 'Unimplemented keys: \\["not"\\]'),
        (Language.JSON_SCHEMA, '{"$ref": "#"}', "no text can match"),
        (Language.LARK, 'start: start "a"', "no text can match"),
    ],
)
def test_constraint_that_cannot_be_met_is_refused(language: Language, source: str, problem: str) -> None:
    """What is wrong with a constraint is said of the field that has it, before anything is computed."""
    with pytest.raises(InvalidFieldError, match=f"^field: .*{problem}"):
        mask(language, source)


def test_dead_end_fails_the_request() -> None:
    """Where only some beginnings can be completed, an answer that took another one is refused, not sent."""
    schema = {"properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"$ref": "#/$defs/b"}}}
    found = mask(Language.JSON_SCHEMA, json.dumps(schema))
    for byte in b'{"a":':
        assert byte in found.allowed()
        found.accept(byte)
    with pytest.raises(InvalidFieldError, match="no text can match"):
        found.allowed()


@pytest.mark.parametrize(
    ("language", "source", "text"),
    [
        (Language.JSON_SCHEMA, '{"type": "object"}', "{}"),
        (Language.REGEX, "a+", "aa"),
        (Language.CHOICE, '["x", "y"]', "y"),
        (Language.LARK, 'start: "(" start ")" | "x"\nTHOUGHT: "q"', "(x)"),
    ],
)
@pytest.mark.parametrize("special", [(), ("<think>", "</think>")], ids=["plain", "tokens"])
def test_thoughts_may_come_before_a_restricted_text(
    language: Language, source: str, text: str, special: tuple[str, ...]
) -> None:
    """A model that thinks first does so in any words; what it says then matches, also after an opened thought."""
    known = bytes_and(special)
    form = Form("x", CallForm((Slot.NAME, Slot.ARGUMENTS)), (MarkedBlock("<think>", "</think>"),))
    constraint = framed(Constraint(language, source, "field"), form, Thoughts.OPENED, known.terminal)
    assert constraint is not None
    found = known.mask(constraint)
    for token in [*known.tokens("hm <x>\n</think>\n\n"), *text.encode()]:
        assert token in found.allowed()
        found.accept(token)


def test_text_with_special_tokens_may_match() -> None:
    """A stop string ends an answer behind thoughts whose markers are tokens."""
    known = bytes_and(("<think>", "</think>"))
    frame = f"start: {known.terminal('<think>')} /[a-z]*/ {known.terminal('</think>')} @answer"
    found = known.mask(Constraint(Language.REGEX, "[0-9]+", "regex", frame))
    assert found.matches("<think>hm</think>12")
    assert not found.matches("<think>hm</think>")


@pytest.mark.parametrize(
    "schema",
    [
        '{"multipleOf": 99991}',
        '{"type": "integer", "multipleOf": 1e9}',
        '{"multiple\\u004ff": 0.123457}',
        '{"items": [{"multipleOf": 6000}, {"multipleOf": 4001}]}',
    ],
)
def test_multiples_are_bounded(schema: str) -> None:
    """A multipleOf with many digits would take seconds to compile, so all of them together are bounded."""
    with pytest.raises(InvalidFieldError, match="multipleOf add up to more than 10000"):
        mask(Language.JSON_SCHEMA, schema)


@pytest.mark.parametrize("schema", ['{"multipleOf": 0.0001}', '{"multipleOf": 1e-3}', '{"multipleOf": 500}'])
def test_usual_multiples_are_followed(schema: str) -> None:
    """What the number's size is does not matter, but how many remainders it leaves."""
    assert mask(Language.JSON_SCHEMA, schema).matches("1500")


def test_row_of_too_many_choices_is_called_too_complex() -> None:
    """A schema that llguidance follows no further is said to be too complex, not to match nothing."""
    found = mask(Language.JSON_SCHEMA, json.dumps({"properties": {f"p{n}": {"type": "null"} for n in range(1000)}}))
    found.accept(ord("{"))
    with pytest.raises(InvalidFieldError, match="too complex"):
        found.allowed()


def test_longer_text_is_read_on() -> None:
    """What was read of a text is not read again, and a text that is another one is read from its beginning."""
    found = mask(Language.REGEX, "(ab)+")
    whole = [found.matches("ab" * count) for count in range(1, 6)]
    assert whole == [True] * 5
    assert [found.matches(text) for text in ("aba", "abab", "abc", "abab", "ababab")] == [
        False,
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("language", "source"), [(Language.JSON_SCHEMA, "%s"), (Language.LARK, "start: x y\nx: %%json %s\ny: %%json {}")]
)
def test_pattern_properties_are_bounded(language: Language, source: str) -> None:
    """Many of them would take minutes to compile, so those of all objects together are bounded."""
    patterns = {"patternProperties": {f"^p{n}$": {} for n in range(30)}}
    assert mask(language, source % json.dumps(patterns)).allowed().size
    with pytest.raises(InvalidFieldError, match="more than 50 patternProperties"):
        mask(language, source % json.dumps({**patterns, "items": patterns}))


def test_constraint_that_costs_too_much_is_refused() -> None:
    """What takes too long, or too much memory, is refused by its field, so that the requests behind it are prepared."""
    with pytest.raises(InvalidFieldError, match=r"^field: takes too long, or too much memory, to compile"):
        mask(Language.JSON_SCHEMA, SCHEMAS["40 patterns of one text"])
