"""Where the schemas inside a JSON Schema are, and what may be left out of it because it restricts nothing."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

Schema = dict[str, Any]

MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value is an object of schemas."""
VALUES = frozenset({"const", "enum"})
"""Keywords whose value is data, not a schema."""
ANNOTATIONS = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "example",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
    }
)
"""Keywords that restrict nothing."""
APPLIED = ("allOf", "anyOf", "oneOf", "if", "then", "else")
"""Keywords whose schemas apply to the same value as the schema that has them; also `$ref` and `dependentSchemas`."""


def mapped(schema: Schema, change: Callable[[Any, str], Any]) -> Schema:
    """Returns a copy of a schema in which each schema directly inside it is what `change` returns for it.

    Values of unknown keywords count as schemas: a `$ref` may point into them.

    Args:
        schema: The schema.
        change: Called with a schema, or what stands in the place of one, and its path, such as `properties.a`.
    """
    return {key: _mapped(key, value, change) for key, value in schema.items()}


def _mapped(key: str, value: Any, change: Callable[[Any, str], Any]) -> Any:
    if key in VALUES or key in ANNOTATIONS:
        return value
    if isinstance(value, list):
        return [change(item, f"{key}[{index}]") for index, item in enumerate(value)]
    if key in MAPS and isinstance(value, dict):
        return {name: change(item, f"{key}.{name}") for name, item in value.items()}
    return change(value, key)


def inside(schema: Schema) -> list[Any]:
    """Returns the schemas directly inside a schema."""
    found: list[Any] = []
    mapped(schema, lambda inner, _: found.append(inner))
    return found


def below(path: str, step: str) -> str:
    """Returns the path of what is `step` below a path; an empty path is the whole schema's."""
    return f"{path}.{step}" if path and step else path or step


def resolved(root: Schema, reference: object) -> Any:
    """Returns what a `$ref` to a place in the same document refers to; None where there is no such place."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found: Any = root
    for step in unquote(reference[1:]).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            return None
    return found if reference[1:2] in ("", "/") else None


def as_uri(reference: str) -> str:
    """Returns a reference with the characters escaped that URIs cannot have, such as the brackets of `R[int]`."""
    base, mark, fragment = reference.partition("#")
    before = quote(base, safe="/:?@!$&'()*+,;=%~[]-._", errors="surrogatepass")
    return before + mark + quote(fragment, safe="/:?@!$&'()*+,;=%~-._", errors="surrogatepass")
