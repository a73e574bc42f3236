import json

import pytest
from llguidance import LLTokenizer

from llm_inference_api.engine.constraint import TokenMask, compile_constraint
from llm_inference_api.engine.request import Constraint, Language
from llm_inference_api.errors import InvalidFieldError

BYTES = LLTokenizer("byte")


def mask(language: Language, source: str) -> TokenMask:
    return compile_constraint(Constraint(language, source, "field"), BYTES)


def first(found: TokenMask) -> bytes:
    return bytes(token for token in found.allowed() if token < 256)


def test_choice_allows_the_first_letters_of_its_texts() -> None:
    """Before anything is written, each text may begin."""
    assert first(mask(Language.CHOICE, json.dumps(["yes", "no", 'a"\n\\ü']))) == b"any"


@pytest.mark.parametrize("text", ["yes", 'a"\n\\ü', "/x/ | y"])
def test_choice_matches_its_texts_as_they_are(text: str) -> None:
    """Characters that mean something in a grammar mean themselves in a choice."""
    found = mask(Language.CHOICE, json.dumps([text, "other"]))
    assert found.matches(text)
    assert not found.matches(text + "x")


def test_accepted_token_moves_the_mask_on() -> None:
    """After a token, the allowed ones are those that continue it."""
    found = mask(Language.REGEX, "ab|ac")
    assert first(found) == b"a"
    found.accept(ord("a"))
    assert first(found) == b"bc"


def test_beginning_is_no_match() -> None:
    """A text that must go on is not complete."""
    found = mask(Language.JSON_SCHEMA, '{"type": "object"}')
    assert found.matches('{"a": [1]}')
    assert not found.matches('{"a": [1]')


def test_white_space_is_bounded() -> None:
    """JSON may be indented, but not without end."""
    found = mask(Language.JSON_SCHEMA, '{"type": "object"}')
    assert found.matches('{\n  "a": 1\n}')
    assert not found.matches("{" + " " * 100 + "}")


@pytest.mark.parametrize(
    ("language", "source", "problem"),
    [
        (Language.REGEX, "(", "unclosed group"),
        (Language.REGEX, "(?=a)b", "look-around"),
        (Language.LARK, "start: foo", "unknown name"),
        (Language.JSON_SCHEMA, '{"type": "integer", "minimum": 5, "maximum": 3}', "Unsatisfiable"),
        (Language.JSON_SCHEMA, '{"$ref": "http://example.com/x"}', "retrieving it failed"),
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
