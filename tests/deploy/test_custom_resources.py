"""Objects of kinds that other projects define: the gateway's, the picker's and Prometheus's."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.deploy.custom_resources import SPECIFICATIONS
from tests.deploy.manifests import VARIANTS, definitions, is_custom, rendered
from tests.deploy.shapes import unknown


@pytest.mark.parametrize("variant", VARIANTS)
def test_custom_resources_have_the_fields_of_their_kinds(variant: str) -> None:
    """A field that a kind does not have would be refused, or dropped in silence."""
    for manifest in rendered(variant):
        if is_custom(manifest):
            assert manifest.keys() == {"apiVersion", "kind", "metadata", "spec"}
            assert unknown(manifest["spec"], SPECIFICATIONS[manifest["apiVersion"], manifest["kind"]]) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_custom_resources_pass_their_definitions(variant: str) -> None:
    """Their projects' own schemas allow them, strictly."""
    schemas = definitions()
    for manifest in rendered(variant):
        if is_custom(manifest):
            Draft202012Validator(schemas[manifest["apiVersion"], manifest["kind"]]).validate(manifest)


@pytest.mark.parametrize("kind", SPECIFICATIONS, ids=lambda kind: kind[1])
def test_list_of_fields_is_that_of_the_definitions(kind: tuple[str, str]) -> None:
    """The list names no field, and no value, that the definitions lack."""
    assert missing(SPECIFICATIONS[kind], definitions()[kind]["properties"]["spec"]) == []


def missing(shape: object, schema: dict[str, Any], path: str = "") -> list[str]:
    """Returns the paths of what the shape has and the schema does not."""
    if isinstance(shape, list):
        return missing(shape[0], schema["items"], f"{path}[]")
    if isinstance(shape, set):
        return [] if shape == set(schema["enum"]) else [path]
    if not isinstance(shape, dict):
        return []
    fields = schema["properties"]
    strange = [f"{path}.{key}" for key in shape if key not in fields]
    known = (missing(value, fields[key], f"{path}.{key}") for key, value in shape.items() if key in fields)
    return strange + [found for each in known for found in each]
