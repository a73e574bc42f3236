"""JSON schemas of which others are made."""

from typing import Any

Json = dict[str, Any]

TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}


def object_of(properties: Json, *, optional: tuple[str, ...] = (), description: str = "") -> Json:
    """Returns the schema of an object with these properties and no other."""
    schema: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    schema["required"] = [name for name in properties if name not in optional]
    return {"description": description, **schema} if description else schema


def list_of(items: Json) -> Json:
    """Returns the schema of a list."""
    return {"type": "array", "items": items}


def map_of(values: Json) -> Json:
    """Returns the schema of an object with any names."""
    return {"type": "object", "additionalProperties": values}
