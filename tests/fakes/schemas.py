"""Makes JSON schemas as people write them, of all kinds, and always the same ones for a seed.

What a model of random weights may write without end, such as strings, has bounds: an answer should come to its end.
"""

import random
from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_WORDS = [
    "id",
    "name",
    "state",
    "größe",
    "tag",
    "first name",
    "a/b",
    "$x",
    'quo"te',
    "naïve",
    "日本",
    "_",
    "kind",
    "URL",
]
_PATTERNS = [
    "^[a-z]{2,8}$",
    r"^\d{3}-\d{4}$",
    "^(red|green|blue)$",
    "^[A-Z][a-z]{0,5}( [A-Z][a-z]{0,5})?$",
    r"^v\d{1,2}\.\d{1,2}(\.\d{1,3})?$",
    "^[äöüß]{1,4}$",
    r"^#([0-9a-f]{3}|[0-9a-f]{6})$",
    r"^\w{1,6}@\w{1,6}\.(com|org)$",
    r"^[^\s,]{1,6}(,[^\s,]{1,6}){0,2}$",
    r'^["\\/]{1,3}$',
]
FORMATS = ("date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "hostname")


def schemas(count: int, seed: int) -> list[Schema]:
    """Returns so many schemas: each kind comes first in turn, and one of fifty has a keyword that is not supported."""
    maker = _Maker(random.Random(seed))
    kinds = maker.kinds
    found = [maker.whole(kinds[index % len(kinds)]) for index in range(count)]
    return [{**schema, "not": {"const": 5}} if index % 50 == 49 else schema for index, schema in enumerate(found)]


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.kinds: list[Callable[[int], Schema]] = [
            self._string,
            self._pattern,
            self._format,
            self._integer,
            self._number,
            self._literal,
            self._types,
            self._array,
            self._tuple,
            self._object,
            self._map,
            self._any_of,
            self._all_of,
            self._reference,
            self._list,
        ]

    def whole(self, kind: Callable[[int], Schema]) -> Schema:
        """Returns a schema of the kind, with what its references need."""
        self._definitions: Schema = {}
        found = kind(3)
        if self._chance.random() < 0.5:
            found = {"type": "object", "properties": {"it": found, "other": self._some(1)}, "required": ["it"]}
            found["additionalProperties"] = False
        return {**found, "$defs": self._definitions} if self._definitions else found

    def _some(self, depth: int) -> Schema:
        return self._chance.choice(self.kinds if depth > 0 else self.kinds[:7])(depth - 1)

    def _words(self, most: int) -> list[str]:
        return self._chance.sample(_WORDS, self._chance.randint(1, most))

    def _string(self, depth: int) -> Schema:
        least = self._chance.randint(0, 4)
        return {"type": "string", "minLength": least, "maxLength": least + self._chance.randint(0, 12)}

    def _pattern(self, depth: int) -> Schema:
        pattern = self._chance.choice(_PATTERNS)
        return {"type": "string", "pattern": pattern}

    def _format(self, depth: int) -> Schema:
        return {"type": "string", "format": self._chance.choice(FORMATS), "maxLength": 45}

    def _integer(self, depth: int) -> Schema:
        least = self._chance.choice([-1000, -7, 0, 1, 42, 10**6])
        most = least + self._chance.choice([0, 1, 9, 500, 10**5])
        found: Schema = {"type": "integer", "minimum": least, "maximum": most}
        if self._chance.random() < 0.3:
            return {"type": "integer", "exclusiveMinimum": least, "exclusiveMaximum": most + 2}
        if self._chance.random() < 0.3 and most - least > 20:
            found["multipleOf"] = self._chance.choice([2, 3, 5, 10, 7])
        return found

    def _number(self, depth: int) -> Schema:
        least = self._chance.choice([-2.5, 0, 0.125, 10])
        most = least + self._chance.choice([0.5, 1, 100])
        lower, upper = self._chance.choice([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")])
        found: Schema = {"type": "number", lower: least, upper: most}
        if self._chance.random() < 0.3:
            found["multipleOf"] = 0.25
        return found

    def _literal(self, depth: int) -> Schema:
        values: list[Any] = [
            "on",
            "off",
            "",
            'q"',
            "ünï",
            "a\nb",
            0,
            -1.5,
            10**12,
            True,
            False,
            None,
            [1, "x"],
            {"k": [None]},
        ]
        if self._chance.random() < 0.3:
            return {"const": self._chance.choice(values)}
        return {"enum": self._chance.sample(values, self._chance.randint(1, 6))}

    def _types(self, depth: int) -> Schema:
        names = self._chance.sample(["boolean", "null", "integer"], self._chance.randint(1, 3))
        found: Schema = {"type": names if len(names) > 1 else names[0]}
        return {**found, "minimum": 0, "maximum": 99} if "integer" in names else found

    def _array(self, depth: int) -> Schema:
        least = self._chance.randint(0, 2)
        return {
            "type": "array",
            "items": self._some(depth),
            "minItems": least,
            "maxItems": least + self._chance.randint(0, 2),
        }

    def _tuple(self, depth: int) -> Schema:
        items = [self._some(depth - 1) for _ in range(self._chance.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": self._chance.randint(0, len(items))}

    def _object(self, depth: int) -> Schema:
        names = self._words(4)
        required = [name for name in names if self._chance.random() < 0.6]
        return {
            "type": "object",
            "title": "Something",
            "properties": {name: {**self._some(depth), "description": f"the {name}"} for name in names},
            "required": required,
            "additionalProperties": False,
        }

    def _map(self, depth: int) -> Schema:
        inner = self._some(depth)
        if self._chance.random() < 0.8:
            return {
                "type": "object",
                "patternProperties": {"^[a-c]{1,2}$": inner},
                "additionalProperties": False,
                "maxProperties": 2,
            }
        fixed = {"fixed": {"type": "boolean"}}
        return {
            "type": "object",
            "properties": fixed,
            "required": ["fixed"],
            "additionalProperties": inner,
            "maxProperties": 2,
        }

    def _any_of(self, depth: int) -> Schema:
        return {"anyOf": [self._some(depth) for _ in range(self._chance.randint(2, 4))]}

    def _all_of(self, depth: int) -> Schema:
        least = self._chance.randint(1, 4)
        return {
            "allOf": [
                {"type": "string", "minLength": least},
                {"type": "string", "maxLength": least + 5},
                {"pattern": "^[a-z]*$"},
            ]
        }

    def _reference(self, depth: int) -> Schema:
        name = f"d{len(self._definitions)}"
        self._definitions[name] = {}
        self._definitions[name] = self._some(depth)
        target = {"$ref": f"#/$defs/{name}"}
        return {
            "type": "object",
            "properties": {"one": target, "two": target},
            "required": ["one"],
            "additionalProperties": False,
        }

    def _list(self, depth: int) -> Schema:
        """Returns a list that refers to itself."""
        name = f"d{len(self._definitions)}"
        self._definitions[name] = {
            "type": "object",
            "properties": {
                "value": self._some(0),
                "next": {"anyOf": [{"type": "null"}, {"$ref": f"#/$defs/{name}"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
        return {"$ref": f"#/$defs/{name}"}
