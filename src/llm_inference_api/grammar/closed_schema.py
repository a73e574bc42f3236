"""Closes the objects of JSON schemas: those that list properties and do not say what others there may be.

By the standard they may have any others, which small models then invent without end. A closed schema allows fewer
instances than the given one, all of them valid under it.
"""

from collections import Counter
from copy import deepcopy
from typing import Any

from llm_inference_api.grammar.schema_keywords import APPLIED, Schema, inside, resolved

_SAY_OTHERS = frozenset({"additionalProperties", "patternProperties", "propertyNames", "unevaluatedProperties"})
"""Keywords that say what properties there may be besides those that are listed."""
_OF_OBJECTS = _SAY_OTHERS | {"properties", "required", "minProperties", "maxProperties", "dependentRequired"}


def closed(schema: Schema) -> Schema:
    """Returns a copy of the schema whose objects have no properties but those that are listed for them.

    An object that several schemas describe together, such as those of an `allOf`, may have the properties of all.
    """
    return _Closing(deepcopy(schema)).result()


class _Closing:
    def __init__(self, root: Schema) -> None:
        self._root = root
        self._schemas: dict[int, Schema] = {}
        """All schemas of the document by their identity."""
        self._parts: set[int] = set()
        """Those that describe an object together with others, which must not close it for these."""
        self._known: dict[int, Counter[str] | None] = {}
        """What `_names` returned for each schema; references make some schemas part of many."""

    def result(self) -> Schema:
        self._collect(self._root)
        for schema in self._schemas.values():
            applied = self._applied(schema)
            if _is_combined(schema):
                self._mark(applied)
            names = self._names(schema) if applied else None
            for name, inner in _properties(schema).items():
                if names is not None and names[name] > 1:
                    self._mark([inner])
        for schema in self._schemas.values():
            if id(schema) not in self._parts:
                self._close(schema)
        return self._root

    def _collect(self, schema: Any) -> None:
        if not isinstance(schema, dict) or id(schema) in self._schemas:
            return
        self._schemas[id(schema)] = schema
        for inner in inside(schema):
            self._collect(inner)
        self._collect(resolved(self._root, schema.get("$ref")))

    def _applied(self, schema: Schema) -> list[Any]:
        """Returns the schemas that apply to the same value as the schema that has them."""
        found = [] if "$ref" not in schema else [resolved(self._root, schema["$ref"])]
        for key in APPLIED:
            value = schema.get(key)
            found += value if isinstance(value, list) else [value] if isinstance(value, dict) else []
        dependent = schema.get("dependentSchemas")
        return [*found, *(dependent.values() if isinstance(dependent, dict) else ())]

    def _mark(self, schemas: list[Any]) -> None:
        """Marks the schemas, and what applies to the same value or belongs to it, as parts."""
        left = list(schemas)
        while left:
            schema = left.pop()
            if isinstance(schema, dict) and id(schema) not in self._parts:
                self._parts.add(id(schema))
                left += [*self._applied(schema), *_properties(schema).values()]

    def _names(self, schema: Any) -> Counter[str] | None:
        """Returns how often each property is listed for an object, 2 for more than once.

        None if something says what other properties there may be.
        """
        if isinstance(schema, bool):
            return Counter()
        if not isinstance(schema, dict) or schema.keys() & _SAY_OTHERS:
            return None
        if id(schema) not in self._known:
            self._known[id(schema)] = Counter()  # Of a schema that is part of itself.
            self._known[id(schema)] = self._counted(schema)
        return self._known[id(schema)]

    def _counted(self, schema: Schema) -> Counter[str] | None:
        required = schema.get("required")
        listed = [*_properties(schema), *(required if isinstance(required, list) else ())]
        names = Counter(dict.fromkeys((name for name in listed if isinstance(name, str)), 1))
        for part in self._applied(schema):
            found = self._names(part)
            if found is None:
                return None
            names += found
        return Counter({name: min(count, 2) for name, count in names.items()})

    def _close(self, schema: Schema) -> None:
        if not (_is_combined(schema) or schema.keys() & _OF_OBJECTS):
            return  # Each of the schemas that it chooses from closes itself.
        names = self._names(schema)
        if names is None or not self._lists(schema, set()):
            return
        least = schema.get("minProperties", 0)
        if isinstance(least, int) and least > len(names):
            return
        listed = schema.get("properties", {})
        if isinstance(listed, dict):
            schema["properties"] = {**listed, **{name: True for name in names if name not in listed}}
            schema["additionalProperties"] = False

    def _lists(self, schema: Any, seen: set[int]) -> bool:
        """Returns whether any of the schemas that describe an object lists properties."""
        if not isinstance(schema, dict) or id(schema) in seen:
            return False
        seen.add(id(schema))
        return "properties" in schema or any(self._lists(part, seen) for part in self._applied(schema))


def _is_combined(schema: Schema) -> bool:
    """Returns whether several schemas describe the same object together."""
    keywords = [key for key in (*APPLIED, "$ref", "dependentSchemas") if key in schema]
    of_all = schema.get("allOf")
    return (
        len(keywords) > 1
        or (isinstance(of_all, list) and len(of_all) > 1)
        or bool(keywords and schema.keys() & _OF_OBJECTS)
    )


def _properties(schema: Schema) -> dict[str, Any]:
    found = schema.get("properties", {})
    return found if isinstance(found, dict) else {}
