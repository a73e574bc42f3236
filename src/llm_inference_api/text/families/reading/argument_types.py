"""Arguments that are written as plain text, turned into JSON by the types that the tool's schema allows."""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

_MOST_REFERENCES = 32
_KEYWORDS = ("anyOf", "oneOf")
_TYPES = {"string": str, "boolean": bool, "array": list, "object": dict, "null": type(None)}


class ArgumentType:
    """What a schema says of a value's JSON type."""

    def __init__(self, schema: object, root: Mapping[str, Any]) -> None:
        """Takes a schema, and the one that its references point into."""
        self._root = root
        self._schema = _resolved(schema, root)

    @classmethod
    def of_arguments(cls, parameters: str) -> "ArgumentType":
        """Returns the type of a tool's arguments, by its JSON schema."""
        schema = json.loads(parameters or "{}")
        return cls(schema, schema if isinstance(schema, dict) else {})

    @cached_property
    def names(self) -> frozenset[str]:
        """JSON types that the value may have; empty if any."""
        return frozenset(_names(self._schema, self._root, set()))

    @property
    def is_string(self) -> bool:
        """Whether the value can only be a string."""
        return self.names == {"string"}

    def key(self, name: str) -> "ArgumentType":
        """Returns the type of an object's value."""
        for schema in _variants(self._schema, self._root):
            properties = schema.get("properties")
            if isinstance(properties, dict) and name in properties:
                return ArgumentType(properties[name], self._root)
        others = [schema.get("additionalProperties") for schema in _variants(self._schema, self._root)]
        return ArgumentType(next((other for other in others if isinstance(other, dict)), {}), self._root)

    @property
    def item(self) -> "ArgumentType":
        """The type of an array's items."""
        items = [schema.get("items") for schema in _variants(self._schema, self._root)]
        return ArgumentType(next((item for item in items if isinstance(item, dict)), {}), self._root)

    def fits(self, value: object) -> bool:
        """Returns whether a value has one of the types."""
        if not self.names:
            return True
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            is_whole = isinstance(value, int) or value.is_integer()  # Integers may be beyond float64.
            return "number" in self.names or ("integer" in self.names and is_whole)
        return any(isinstance(value, kind) for name, kind in _TYPES.items() if name in self.names)


def parsed(text: str) -> Any:
    """Returns the value of a JSON text. Raises ValueError if it is none."""
    try:
        return json.loads(text, parse_constant=_refused)
    except RecursionError as error:
        raise ValueError(str(error)) from error


def _refused(constant: str) -> None:
    message = f"{constant} is not JSON"
    raise ValueError(message)


def _resolved(schema: object, root: Mapping[str, Any]) -> dict[str, Any]:
    for _ in range(_MOST_REFERENCES):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            break
        schema = root if reference == "#" else {}
        if reference.startswith("#/"):
            schema = root
            for step in reference[2:].split("/"):
                name = step.replace("~1", "/").replace("~0", "~")
                schema = schema.get(name, {}) if isinstance(schema, dict) else {}
    return schema if isinstance(schema, dict) else {}


def _variants(schema: dict[str, Any], root: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the schema, and those that it is combined from."""
    found, seen = [schema], {id(schema)}
    for one in found:
        for keyword in (*_KEYWORDS, "allOf"):
            others = one.get(keyword)
            for other in others if isinstance(others, list) else ():
                resolved = _resolved(other, root)
                if id(resolved) not in seen:
                    seen.add(id(resolved))
                    found.append(resolved)
    return found


def _names(schema: dict[str, Any], root: Mapping[str, Any], seen: set[int]) -> set[str]:
    """Returns JSON types that a schema allows; none if all. Schemas that were seen are taken to allow all."""
    given = schema.get("type")
    if isinstance(given, str):
        return {given}
    if isinstance(given, list):
        return {name for name in given if isinstance(name, str)}
    if "const" in schema or isinstance(schema.get("enum"), list):
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return {_name(value) for value in values}
    if id(schema) in seen:
        return set()
    seen.add(id(schema))
    for keyword in _KEYWORDS:
        if isinstance(others := schema.get(keyword), list):
            found = [_names(_resolved(other, root), root, seen) for other in others]
            return set().union(*found) if all(found) else set()
    parts = schema.get("allOf")
    found = [_names(_resolved(part, root), root, seen) for part in parts] if isinstance(parts, list) else []
    named = [names for names in found if names]
    return set.intersection(*named) if named else set()


def _name(value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "integer" if isinstance(value, int) else "number"
    return next(name for name, kind in _TYPES.items() if isinstance(value, kind))
