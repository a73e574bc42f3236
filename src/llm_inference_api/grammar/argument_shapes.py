"""What a JSON schema says of values that are not written as JSON: their types, texts, and properties."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from llm_inference_api.grammar.lark import TooLargeError
from llm_inference_api.grammar.schema_keywords import MAPS, VALUES, Schema, resolved

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_DEFINITIONS = frozenset({"$defs", "definitions"})
_DEEPEST = 16
"""Levels of references and combined schemas that are followed for one value; below, any value is allowed."""
_MOST_SHAPES = 16
"""Objects that one schema may choose from; of more, the choice is not followed."""
_UNFOLLOWED = frozenset(
    {
        *("minProperties", "maxProperties", "propertyNames", "dependentRequired", "dependentSchemas"),
        *("not", "if", "unevaluatedProperties"),
    }
)
"""Keywords of an object that are not followed where its properties are written one by one."""
_DAY = r"(0[1-9]|[12][0-9]|3[01])"
_DATE = rf"[0-9]{{4}}-(0[1-9]|1[0-2])-{_DAY}"
_ZONE = r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_TIME = rf"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?{_ZONE}"
_CLOCK = r"T([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)"
_HOST = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
_BYTE = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}[Tt]{_TIME}",
    "duration": rf"P([0-9]+W|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)({_CLOCK})?|{_CLOCK})",
    "email": rf"[A-Za-z0-9_%+-]+(\.[A-Za-z0-9_%+-]+)*@{_HOST}",
    "hostname": _HOST,
    "ipv4": rf"({_BYTE}\.){{3}}{_BYTE}",
    "ipv6": r"([0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}",
    "uuid": r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?#@!$'()*+,;=%-]+",
}
"""Regular expressions of texts that are valid in a format, not always of all such texts."""


@dataclass(frozen=True, slots=True)
class AllowedTexts:
    """The strings that a schema allows."""

    words: tuple[str, ...] = ()
    """Single strings."""
    patterns: tuple[tuple[str, ...], ...] = ()
    """Kinds of strings: each must match all regular expressions of one of these, from its start to its end."""

    @property
    def are_free(self) -> bool:
        """Whether any string is allowed."""
        return () in self.patterns


@dataclass(frozen=True, slots=True)
class ArgumentShape:
    """The objects that a schema allows."""

    properties: dict[str, Any] = field(default_factory=dict)
    """Schemas by name, in the schema's order."""
    required: frozenset[str] = frozenset()
    others: Any = True
    """Schema of properties with other names; False if there may be none."""
    unfollowed: tuple[str, ...] = ()
    """Keywords that it does not follow."""

    def of(self, name: str) -> Any:
        """Returns the schema of a property."""
        return self.properties.get(name, self.others)


class SchemaWork:
    """What may be done for the schemas of one request. Combined schemas could take any time."""

    def __init__(self, most: int = 300_000) -> None:
        """Takes the number of looks at a schema; each takes some microseconds."""
        self._left = most

    def look(self) -> None:
        """Counts a look at a schema. Raises TooLargeError if there were too many."""
        self._left -= 1
        if self._left < 0:
            raise TooLargeError


class Shapes:
    """Reads the schemas of one document."""

    def __init__(self, root: Schema, work: SchemaWork) -> None:
        """Takes the document, and what may be done."""
        self._root = root
        self._work = work
        self._options = {"x-guidance": root["x-guidance"]} if "x-guidance" in root else {}

    def alone(self, schema: Any) -> Schema:
        """Returns a schema of the document as a document of its own."""
        if not isinstance(schema, dict):
            return {**({} if schema else {"not": {}}), **self._options}
        names: dict[str, str] = {}
        found: Schema = self._moved(schema, names)
        definitions: Schema = {}
        while len(definitions) < len(names):
            reference = list(names)[len(definitions)]
            definitions[names[reference]] = self._moved(resolved(self._root, reference), names)
        return {**found, **({"$defs": definitions} if definitions else {}), **self._options}

    def _moved(self, schema: Any, names: dict[str, str], *, is_map: bool = False) -> Any:
        """Returns the schema with references to `$defs`, by new names, without definitions of its own."""
        self._work.look()
        if isinstance(schema, list):
            return [self._moved(item, names) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if is_map:
            return {name: self._moved(inner, names) for name, inner in schema.items()}
        found = {
            key: value if key in VALUES else self._moved(value, names, is_map=key in MAPS)
            for key, value in schema.items()
            if key not in _DEFINITIONS | {"x-guidance"}
        }
        reference = found.get("$ref")
        if isinstance(reference, str) and resolved(self._root, reference) is not None:
            found["$ref"] = f"#/$defs/{names.setdefault(reference, str(len(names)))}"
        return found

    def types(self, schema: Any, depth: int = 0) -> frozenset[str]:
        """Returns the JSON types of the values that a schema may allow."""
        self._work.look()
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return frozenset() if schema is False else TYPES
        found = TYPES
        if "type" in schema:
            kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            found = frozenset(kind for kind in kinds if isinstance(kind, str)) & TYPES
        for values in _values(schema):
            found &= frozenset(kind for value in values for kind in _types_of(value))
        for parts in self._all(schema):
            found &= (
                self.types(parts, depth + 1)
                if not isinstance(parts, list)
                else _union(self.types(part, depth + 1) for part in parts)
            )
        return found

    def texts(self, schema: Any, depth: int = 0) -> AllowedTexts:
        """Returns the strings that a schema allows, perhaps with some more."""
        self._work.look()
        if schema is False:
            return AllowedTexts()
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return AllowedTexts((), ((),))
        if "string" not in self.types(schema):
            return AllowedTexts()
        for values in _values(schema):
            return AllowedTexts(tuple(dict.fromkeys(value for value in values if isinstance(value, str))))
        found = [AllowedTexts((), (_facets(schema),))]
        for parts in self._all(schema):
            each = parts if isinstance(parts, list) else [parts]
            found.append(_either(self.texts(part, depth + 1) for part in each))
        return _both(found)

    def is_followed(self, schema: Any) -> bool:
        """Returns whether the patterns of a schema's strings can be followed where these have no quotes."""
        pattern = schema.get("pattern") if isinstance(schema, dict) else None
        return not isinstance(pattern, str) or whole_pattern(pattern) is not None

    def shapes(self, schema: Any, depth: int = 0) -> list[ArgumentShape]:
        """Returns the objects that a schema allows, perhaps with some more; one of these must fit."""
        self._work.look()
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return [] if schema is False else [ArgumentShape()]
        given, required = schema.get("properties", {}), schema.get("required", [])
        others = schema.get("additionalProperties", True)
        patterns = schema.get("patternProperties", {})
        if patterns and others is False:
            others = {"anyOf": list(patterns.values())}
        own = ArgumentShape(
            dict(given) if isinstance(given, dict) else {},
            frozenset(name for name in required if isinstance(name, str))
            if isinstance(required, list)
            else frozenset(),
            others,
            tuple(sorted(schema.keys() & _UNFOLLOWED | ({"patternProperties"} if patterns else set()))),
        )
        found = [own]
        for parts in self._all(schema):
            each = parts if isinstance(parts, list) else [parts]
            choices = [shape for part in each if "object" in self.types(part) for shape in self.shapes(part, depth + 1)]
            if len(found) * len(choices) <= _MOST_SHAPES:
                found = [_merged(left, right) for left, right in product(found, choices)]
        for key in VALUES & schema.keys():
            choices = _constants(schema[key] if key == "enum" else [schema[key]])
            if len(found) * len(choices) <= _MOST_SHAPES:
                found = [_merged(left, right) for left, right in product(found, choices)]
            else:
                found = [replace(shape, unfollowed=(*shape.unfollowed, key)) for shape in found]
        return found

    def parts(self, schema: Any, depth: int = 0) -> list[Any]:
        """Returns the schema, and those that it consists of or chooses from."""
        self._work.look()
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return [schema]
        inner = [part for parts in self._all(schema) for part in (parts if isinstance(parts, list) else [parts])]
        return [schema, *(found for part in inner for found in self.parts(part, depth + 1))]

    def _all(self, schema: Schema) -> Iterable[Any]:
        """Yields what a value must fit besides the schema's own keywords: a schema, or a list of which one must fit."""
        if "$ref" in schema:
            target = resolved(self._root, schema["$ref"])
            yield True if target is None else target
        if isinstance(schema.get("allOf"), list):
            yield from schema["allOf"]
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list):
                yield schema[key]


def _constants(values: object) -> list[ArgumentShape]:
    """Returns the objects among values."""
    objects = [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    return [
        ArgumentShape({name: {"const": inner} for name, inner in value.items()}, frozenset(value), others=False)
        for value in objects
    ]


def _values(schema: Schema) -> Iterable[list[Any]]:
    if "const" in schema:
        yield [schema["const"]]
    if isinstance(schema.get("enum"), list):
        yield schema["enum"]


def _types_of(value: object) -> tuple[str, ...]:
    match value:
        case None:
            return ("null",)
        case bool():
            return ("boolean",)
        case int():
            return ("integer", "number")
        case float():
            return ("number", "integer") if value.is_integer() else ("number",)
        case str():
            return ("string",)
        case list():
            return ("array",)
        case _:
            return ("object",)


def _union(kinds: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*kinds)


def _facets(schema: Schema) -> tuple[str, ...]:
    """Returns the regular expressions that a string must match."""
    found = []
    pattern, form = schema.get("pattern"), schema.get("format")
    if isinstance(pattern, str) and (whole := whole_pattern(pattern)) is not None:
        found.append(whole)
    if isinstance(form, str) and form in FORMATS:
        found.append(FORMATS[form])
    least, most = schema.get("minLength", 0), schema.get("maxLength", "")
    if least or most != "":
        found.append(f"(?s:.{{{least},{most}}})")
    return tuple(found)


def whole_pattern(pattern: str) -> str | None:
    """Returns the regular expression of the whole texts that a pattern is found in.

    None if it has anchors elsewhere than at the ends of its alternatives.
    """
    found = []
    for alternative in _alternatives(pattern):
        inner, ended = _LAST_ANCHOR.subn(r"\1", alternative.removeprefix("^"))
        if _ANCHOR.search(_CLASS.sub("", inner)):
            return None
        before = "" if alternative.startswith("^") else "(?s:.*)"
        found.append(f"{before}({inner}){'' if ended else '(?s:.*)'}")
    return "|".join(found)


_CLASS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
"""An escape, or a class of characters."""
_ANCHOR = re.compile(r"[$^]")
_LAST_ANCHOR = re.compile(r"(?<!\\)((?:\\\\)*)\$\Z")


def _alternatives(pattern: str) -> list[str]:
    """Returns the alternatives of a pattern, but for those in groups."""
    found, depth, start, at = [], 0, 0, 0
    while at < len(pattern):
        skipped = _CLASS.match(pattern, at)
        if skipped:
            at = skipped.end()
            continue
        depth += (pattern[at] == "(") - (pattern[at] == ")")
        if pattern[at] == "|" and not depth:
            found.append(pattern[start:at])
            start = at + 1
        at += 1
    return [*found, pattern[start:]]


def _either(texts: Iterable[AllowedTexts]) -> AllowedTexts:
    all_texts = list(texts)
    words = dict.fromkeys(word for found in all_texts for word in found.words)
    patterns = dict.fromkeys(pattern for found in all_texts for pattern in found.patterns)
    return AllowedTexts(tuple(words), tuple(patterns))


def _both(texts: list[AllowedTexts]) -> AllowedTexts:
    """Returns the strings that all of several schemas allow, perhaps with some more."""
    for found in texts:
        if found.words and not found.patterns:
            return found
    patterns: list[tuple[str, ...]] = [()]
    words: tuple[str, ...] = ()
    for found in texts:
        if found.words:
            words += found.words
        if len(patterns) * len(found.patterns) <= _MOST_SHAPES:
            patterns = [(*left, *right) for left, right in product(patterns, found.patterns)]
    return AllowedTexts(words, tuple(patterns))


def _merged(left: ArgumentShape, right: ArgumentShape) -> ArgumentShape:
    names = dict.fromkeys([*left.properties, *right.properties])
    schemas = {name: _conjunction(left.of(name), right.of(name)) for name in names}
    return ArgumentShape(
        {name: schema for name, schema in schemas.items() if schema is not False},
        left.required | right.required,
        _conjunction(left.others, right.others),
        (*left.unfollowed, *right.unfollowed),
    )


def _conjunction(left: Any, right: Any) -> Any:
    if left is False or right is False:
        return False
    if left in (True, {}) or left == right:
        return right
    return left if right in (True, {}) else {"allOf": [left, right]}
