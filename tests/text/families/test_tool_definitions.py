import json

import pytest

from llm_inference_api.requests.tools import Tool
from llm_inference_api.text.families.tool_definitions import as_json, simplified


def test_tool_is_described_in_openais_format() -> None:
    """As templates expect it, with its parameters as an object."""
    assert as_json(Tool("f", "Does it.", '{"type": "object"}')) == {
        "type": "function",
        "function": {"name": "f", "description": "Does it.", "parameters": {"type": "object"}},
    }


@pytest.mark.parametrize(
    ("given", "simpler"),
    [
        ({"type": ["string", "null"]}, {"type": "string"}),
        ({"type": ["null", "string", "integer"]}, {"type": ["string", "integer"]}),
        ({"type": ["null"]}, {"type": ["null"]}),
        ({"type": "null"}, {"type": "null"}),
        ({"anyOf": [{"type": ["string", "null"]}]}, {"anyOf": [{"type": "string"}]}),
        ({"properties": {"a": {"type": "string"}}}, {"properties": {"a": {"description": "", "type": "string"}}}),
        ({"properties": {"a": {"description": "A."}}}, {"properties": {"a": {"description": "A."}}}),
        ({"properties": {"a": True}}, {"properties": {"a": True}}),
        (
            {"items": {"properties": {"properties": {"type": ["object", "null"]}}}},
            {"items": {"properties": {"properties": {"description": "", "type": "object"}}}},
        ),
    ],
)
def test_simplified_tool_has_no_null_among_types_and_describes_parameters(given: object, simpler: object) -> None:
    """At any depth, and nothing else is changed."""
    found = simplified(Tool("f", "Does it.", json.dumps(given)))
    assert (found.name, found.description, json.loads(found.parameters)) == ("f", "Does it.", simpler)


def test_tool_that_is_simple_stays_as_it_was_given() -> None:
    """Also in its white space: nothing is rendered twice for it."""
    tool = Tool("f", "", '{"properties" : {"a":{"type":"string","description":""}}}')
    assert simplified(tool) is tool
