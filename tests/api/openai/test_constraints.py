import json
from typing import Any

import pytest

from llm_inference_api.api.openai.constraints import constraint_of
from llm_inference_api.api.openai.params import ChatCompletionParams, CompletionParams, parse
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.constraint import Constraint, Language

SCHEMA = {"type": "object"}
TEXT = json.dumps(SCHEMA)


def chat(**fields: Any) -> Constraint | None:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return constraint_of(parse(ChatCompletionParams, json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("fields", "language", "source", "field"),
    [
        ({"json_schema": SCHEMA}, Language.JSON_SCHEMA, TEXT, "json_schema"),
        ({"json_schema": TEXT}, Language.JSON_SCHEMA, TEXT, "json_schema"),
        ({"guided_json": SCHEMA}, Language.JSON_SCHEMA, TEXT, "guided_json"),
        ({"structured_outputs": {"json": SCHEMA}}, Language.JSON_SCHEMA, TEXT, "structured_outputs.json"),
        ({"regex": "a+"}, Language.REGEX, "a+", "regex"),
        ({"guided_regex": "a+"}, Language.REGEX, "a+", "guided_regex"),
        ({"structured_outputs": {"regex": "a+"}}, Language.REGEX, "a+", "structured_outputs.regex"),
        ({"guided_choice": ["a", "b"]}, Language.CHOICE, '["a", "b"]', "guided_choice"),
        ({"structured_outputs": {"choice": ["a"]}}, Language.CHOICE, '["a"]', "structured_outputs.choice"),
        ({"grammar": 'root ::= "a"'}, Language.GBNF, 'root ::= "a"', "grammar"),
        ({"ebnf": 'root ::= "a"'}, Language.GBNF, 'root ::= "a"', "ebnf"),
        ({"guided_grammar": 'start: "a"'}, Language.LARK, 'start: "a"', "guided_grammar"),
        ({"structured_outputs": {"grammar": 'start: "a"'}}, Language.LARK, 'start: "a"', "structured_outputs.grammar"),
        ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, Language.JSON_SCHEMA, TEXT, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
            Language.JSON_SCHEMA,
            TEXT,
            "response_format",
        ),
        ({"response_format": {"type": "json_object"}}, Language.JSON_SCHEMA, TEXT, "response_format"),
        ({"structured_outputs": {"json_object": True}}, Language.JSON_SCHEMA, TEXT, "structured_outputs.json_object"),
    ],
)
def test_constraint_is_read_by_all_names(fields: dict[str, Any], language: Language, source: str, field: str) -> None:
    """Clients of OpenAI, llama.cpp, vLLM and SGLang name the same things differently; errors name what they sent."""
    assert chat(**fields) == Constraint(language, source, field)
    completion = parse(CompletionParams, json.dumps({"prompt": "hi", **fields}).encode())
    assert constraint_of(completion) == Constraint(language, source, field)


def test_object_may_have_a_schema() -> None:
    """llama.cpp's clients give a schema beside the type `json_object`; what it allows besides objects stays out."""
    found = chat(response_format={"type": "json_object", "schema": {"minimum": 3}})
    assert found == Constraint(Language.JSON_SCHEMA, '{"minimum": 3}', "response_format", is_object=True)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"grammar": "", "json_schema": None, "guided_json": None, "structured_outputs": None},
        {"structured_outputs": {"json_object": False, "disable_any_whitespace": True}},
        {"response_format": {"type": "text"}, "guided_decoding_backend": "guidance"},
    ],
)
def test_nothing_restricts_nothing(fields: dict[str, Any]) -> None:
    """Clients also send the names of what they do not want."""
    assert chat(**fields) is None


@pytest.mark.parametrize(
    ("fields", "field", "problem"),
    [
        ({"regex": "a", "guided_choice": ["b"]}, "guided_choice", "contradicts regex"),
        ({"response_format": {"type": "json_object"}, "grammar": 'root ::= "a"'}, "grammar", "contradicts resp"),
        ({"structured_outputs": {"json": {}, "regex": "a"}}, "structured_outputs.regex", "contradicts structured"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos", "contradicts guided_regex"),
        ({"guided_choice": []}, "guided_choice", "must be 1 to"),
        ({"json_schema": "{"}, "json_schema", "no valid JSON"),
        ({"guided_json": "5"}, "guided_json", "no JSON object"),
        ({"guided_whitespace_pattern": " "}, "guided_whitespace_pattern", "without white space"),
        ({"structured_outputs": {"whitespace_pattern": " "}}, "structured_outputs.whitespace_pattern", "without white"),
        ({"structured_outputs": {"structural_tag": "{}"}}, "structured_outputs.structural_tag", "not supported"),
        ({"response_format": {"type": "text", "schema": {}}}, "response_format.schema", "for JSON only"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema is required"),
    ],
)
def test_constraint_that_is_not_one_is_refused(fields: dict[str, Any], field: str, problem: str) -> None:
    """Several at once, and what has no effect here, are refused by the name that was sent."""
    with pytest.raises(InvalidFieldError) as caught:
        chat(**fields)
    assert (caught.value.field, problem in caught.value.problem) == (field, True)
