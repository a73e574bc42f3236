"""Constraints that try to cost more than they should."""

import json

from llm_inference_api.requests.constraint import Constraint, Language


def _deep(levels: int) -> str:
    return '{"properties":{"a":' * levels + "{}" + "}}" * levels


def _enum(size: int) -> str:
    return json.dumps({"enum": [f"value {index}" for index in range(size)]})


def _references(levels: int, keyword: str) -> str:
    """Returns a schema whose definitions each refer twice to the one before."""
    definitions: dict[str, object] = {"d0": {"type": "string", "maxLength": 5}}
    for level in range(1, levels):
        inner = {"$ref": f"#/$defs/d{level - 1}"}
        if keyword == "properties":
            definitions[f"d{level}"] = {"properties": {"a": inner, "b": inner}, "required": ["a", "b"]}
        else:
            definitions[f"d{level}"] = {keyword: [inner, inner]}
    return json.dumps({"$ref": f"#/$defs/d{levels - 1}", "$defs": definitions})


_ROWS = '{"type":"array","maxItems":100000,"items":'
_TEXT = {"type": "string"}
_LONG = {"maxLength": 10**9, "minLength": 10**5, "type": "string"}

SCHEMAS = {
    "30 levels": _deep(30),
    "10,000 levels": _deep(10_000),
    "enum of 3,000": _enum(3_000),
    "enum of 100,000": _enum(100_000),
    "exponential $ref": _references(60, "properties"),
    "exponential anyOf": _references(60, "anyOf"),
    "exponential allOf": _references(60, "allOf"),
    "long string": json.dumps(_LONG),
    "many items": _ROWS * 3 + '{"type":"integer"}' + "}" * 3,
    "least items": '{"type":"array","items":{"type":"integer"},"minItems":1000000}',
    "least properties": '{"type":"object","minProperties":1000000}',
    "multiple": '{"type":"integer","multipleOf":999983}',
    "many multiples": json.dumps({"properties": {f"p{n}": {"multipleOf": 9001 + 2 * n} for n in range(1000)}}),
    "600 patterns": json.dumps({"patternProperties": {f"^p{n}$": {} for n in range(600)}}),
    "1,500 properties": json.dumps({"properties": {f"p{n}": {"type": "integer"} for n in range(1500)}}),
    "40 patterns of one text": json.dumps({"allOf": [{"pattern": f"(aa|aaa){{50,}}{n}", **_TEXT} for n in range(40)]}),
    "500 alternatives": json.dumps({"anyOf": [{"properties": {f"k{n % 9}": {"const": n}}} for n in range(500)]}),
    "long pattern": json.dumps({"type": "string", "pattern": ".*a.{20}b.*", "maxLength": 5000}),
}
REGEXES = {
    "nested repetition": "(([a-z]+)+)+",
    "nested repetition with an end": "(([a-z]+)+)+!",
    "60,000 characters": "(a|b)" * 12_000,
    "8,000 alternatives": "|".join(f"w{index}x" for index in range(8_000)),
    "a billion": "((a{1,1000}){1,1000}){1,1000}",
    "many states": "(a|a)*b(a|b){200}c{1000}",
    "subsets": "(.*a.{15}b){3}",
    "classes": r"(\w{1,50}\W{1,50}){50}",
    "letters": r"(\p{L}{1,300}){1,300}",
}
GRAMMARS = {
    "ambiguity": 'start: s\ns: s s | "a" | ',
    "threefold ambiguity": 'start: e\ne: e e e | "a"',
    "repetitions": 'start: (("a" "b"?){0,1000}){0,1000}',
    "exponential rules": "start: r0\n" + "".join(f"r{n}: r{n + 1} r{n + 1}\n" for n in range(40)) + 'r40: "a"',
    "exponential terminals": "start: T0\n" + "".join(f"T{n}: T{n + 1} T{n + 1}\n" for n in range(28)) + 'T28: "a"',
    "intersection": "start: X\nX: /.*a.{20}/ & /.*b.{25}/ & /.*c.{30}/",
}

BOMBS = {
    **{name: Constraint(Language.JSON_SCHEMA, source, "json_schema") for name, source in SCHEMAS.items()},
    **{name: Constraint(Language.REGEX, source, "regex") for name, source in REGEXES.items()},
    **{name: Constraint(Language.LARK, source, "lark") for name, source in GRAMMARS.items()},
}
