"""Grammar of a call's arguments that are no JSON object: pairs of a key and a value, each in the form's own syntax."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llm_inference_api.grammar.argument_shapes import AllowedTexts, ArgumentShape, SchemaWork, Shapes
from llm_inference_api.grammar.lark import KEY, Lark, choice, hard, loose_pattern, quoted, row
from llm_inference_api.grammar.schema_keywords import Schema, below
from llm_inference_api.text.families.form import Pairs, Pattern, Slot, Values

_MOST_IN_ANY_ORDER = 60
"""Properties that may come in any order. A rule's parameter has 64 bits."""
NAME = r"[^\s<>\x22'`=:,(){}\[\]|\/\x7f]{1,64}"
"""Regular expression of a name that no schema lists; the reader finds each of these."""
_WORD = {"boolean": ("true", "false"), "null": ("null",)}
_PYTHON_WORD = {"boolean": ("True", "False", "true", "false"), "null": ("None", "null")}
_DOUBLE = r'"(\\.|[^"\\\n])*"'
_SINGLE = r"'(\\.|[^'\\\n])*'"
_INTEGER = "-?(0|[1-9][0-9]*)"
_NUMBER = rf"{_INTEGER}(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_PLAIN = frozenset({"type"})
_ORDER = ("string", "integer", "number", "boolean", "null", "array", "object")


class ArgumentRules:
    """Writes the arguments of one function."""

    def __init__(self, lark: Lark, pairs: Pairs, schema: Schema, work: SchemaWork) -> None:
        """Takes the grammar to write to, how pairs are written, the schema of the arguments, and what may be done."""
        self._lark = lark
        self._pairs = pairs
        self._schema = schema
        self._shapes = Shapes(schema, work)
        self._known: dict[str, str] = {}
        """Rules of values by their schemas; a schema may contain itself."""
        self.unfollowed: list[str] = []
        """Paths of keywords that the rules do not follow."""

    def arguments(self) -> str:
        """Returns all arguments as a part of a rule."""
        pairs = self._pairs
        body = self._properties(self._schema, pairs.pair, pairs.separator, "")
        return row(
            self._lark.literal(pairs.opening), body, self._lark.literal(pairs.closing, is_spaced=are_lines(pairs))
        )

    def _properties(self, schema: Any, pattern: Pattern, separator: str, path: str) -> str:
        """Returns the properties of an object; the rule for each object that the schema chooses from is shared."""
        shapes = self._shapes.shapes(schema)
        for shape in shapes:
            self.unfollowed += [below(path, key) for key in shape.unfollowed]
        return choice([self._of_shape(shape, pattern, separator, path) for shape in shapes])

    def _of_shape(self, shape: ArgumentShape, pattern: Pattern, separator: str, path: str) -> str:
        listed = [name for name, inner in shape.properties.items() if inner is not False]
        required = [name for name in listed if name in shape.required]
        required += [name for name in sorted(shape.required) if name not in shape.properties]
        names = [*required, *(name for name in listed if name not in shape.required)]
        pairs = [
            self._lark.rule(self._pair(pattern, name, shape.of(name), below(path, f"properties.{name}")))
            for name in names
        ]
        extra = []
        if shape.others is not False:
            extra = [
                self._lark.rule(self._pair(pattern, None, shape.others, below(path, "additionalProperties"), names))
            ]
        between = self._lark.literal(separator)
        if len(names) > _MOST_IN_ANY_ORDER:
            return self._in_order(pairs, len(required), extra, between)
        return self._in_any_order(pairs, len(required), extra, between)

    def _in_any_order(self, pairs: list[str], required: int, extra: list[str], between: str) -> str:
        """Returns pairs of which each stands there once at most, and the first ones do."""
        lark = self._lark
        if not pairs and not extra:
            return ""
        rest = lark.new_name()
        after = [f'"" %if is_ones([0:{required}])' if required else '""']
        after += [f"{row(between, pair)} {rest}::set_bit({at}) %if bit_clear({at})" for at, pair in enumerate(pairs)]
        after += [f"{row(between, pair)} {rest}::_" for pair in extra]
        lark.define(f"{rest}::_", "\n | ".join(after))
        if not between:
            return f"{rest}::0"
        first = [f"{pair} {rest}::{1 << at}" for at, pair in enumerate(pairs)] + [f"{pair} {rest}::0" for pair in extra]
        return lark.rule(choice(first) if required else f"({choice(first)})?")

    def _in_order(self, pairs: list[str], required: int, extra: list[str], between: str) -> str:
        """Returns pairs in this order, the first ones always."""
        lark = self._lark
        after = start = "".join(f"({row(between, pair)})*" for pair in extra)
        if extra:
            start = f"({row(*extra, after)})?"
        for at, pair in reversed([*enumerate(pairs)]):
            start = lark.rule(choice([row(pair, after), *([start] if at >= required else [])]))
            after = lark.rule(row(f"({row(between, pair)}){'' if at < required else '?'}", after))
        return start

    def _pair(self, pattern: Pattern, name: str | None, schema: Any, path: str, known: Sequence[str] = ()) -> str:
        """Returns a pair with a name of its own, or, with None, with any but the known ones."""
        named = _with_text(pattern, Slot.KEY, KEY if name is None else hard(name))
        kinds = self._kinds(schema) if Slot.KIND in named else [("", schema)]
        return choice([self._named(_with_text(named, Slot.KIND, kind), part, path, known) for kind, part in kinds])

    def _kinds(self, schema: Any) -> list[tuple[str, Any]]:
        """Returns the words for the kinds of a value, each with the schema of such values."""
        words = dict(self._pairs.kinds)
        found: dict[str, set[str]] = {}
        for kind in _ORDER:
            if kind in self._shapes.types(schema):
                word = words.get(kind) or words.get("number" if kind == "integer" else kind) or kind
                found.setdefault(word, set()).add(kind)
        if len(found) == 1:
            return [(next(iter(found)), schema)]
        return [(word, self._restricted(schema, kinds)) for word, kinds in found.items()]

    def _restricted(self, schema: Any, kinds: set[str]) -> Any:
        own = self._shapes.types(schema)
        if own <= kinds:
            return schema
        wanted = [kind for kind in _ORDER if kind in own & kinds]
        if not isinstance(schema, dict):
            return {"type": wanted}
        if "type" in schema or not {"$ref", "allOf", "anyOf", "oneOf"} & schema.keys():
            return {**schema, "type": wanted}
        return {"type": wanted, "allOf": [schema]}

    def _named(self, pattern: Pattern, schema: Any, path: str, known: Sequence[str]) -> str:
        """Returns a pair, in whose literals `KEY` stands for a name that is not known."""
        at = pattern.index(Slot.VALUE)
        before, after = (
            "".join(part for part in side if isinstance(part, str)) for side in (pattern[:at], pattern[at + 1 :])
        )
        # Any name may stand behind the value: that it is the same cannot be told.
        end, key, rest = after.partition(KEY)
        # Tags are written on one line, or on several.
        is_spaced = are_lines(self._pairs)
        space = ""
        if self._pairs.values is Values.TEXT and not self._shapes.texts(schema).are_free:
            core = before.rstrip()
            before, space = core, before[len(core) :]
        opening = row(
            self._lark.literal(before, NAME, known, is_spaced=is_spaced), f"{quoted(space)}?" if space else ""
        )
        if is_spaced:  # White space between two tags belongs to the second one, so that one terminal has it.
            end, rest = (end, rest.rstrip()) if key else (end.rstrip(), rest)
        return row(opening, self._closed(schema, end, path), self._lark.literal(key + rest, NAME))

    def _closed(self, schema: Any, closing: str, path: str) -> str:
        """Returns a value with the literal after it."""
        if self._pairs.values is not Values.TEXT:
            return row(self._value(schema, path), self._lark.literal(closing))
        end, found = self._lark.literal(closing), []
        if self._pairs.item:
            found += [row(nested, end) for nested in self._nested(schema, path)]
        texts = self._texts(schema, path)
        found += list(self._raw(texts, closing, *self._pairs.verbatim))
        kinds = self._shapes.types(schema) - {"string"} - ({"object", "array"} if self._pairs.item else set())
        if kinds and not texts.are_free:
            found.append(row(self._json(self._restricted(schema, set(kinds))), end))
        return choice(found)

    def _texts(self, schema: Any, path: str) -> AllowedTexts:
        if not self._shapes.is_followed(schema):
            self.unfollowed.append(below(path, "pattern"))
        return self._shapes.texts(schema)

    def _raw(self, texts: AllowedTexts, closing: str, before: str = "", after: str = "") -> Iterator[str]:
        """Yields strings without quotes, up to and including a literal; each may stand between two others."""
        lark = self._lark
        end = lark.literal(closing)
        if texts.words:
            yield row(choice([quoted(word) if word else '""' for word in texts.words]), lark.tight(closing))
        for pattern in texts.patterns:
            body = self._pattern(pattern)
            if before:
                yield row(lark.literal(before), lark.up_to(body, after), end)
                body = lark.terminal(f"{body} & ~/{loose_pattern(before)}(?s:.*)/")
            yield lark.up_to(body, closing)

    def _pattern(self, patterns: tuple[str, ...]) -> str:
        if not patterns:
            return self._lark.text
        return self._lark.terminal(" & ".join(f"/{_in_slashes(pattern)}/" for pattern in (*patterns, "(?s:.*)")))

    def _nested(self, schema: Any, path: str) -> Iterator[str]:
        """Yields objects and arrays that are written as pairs within pairs."""
        pairs, kinds = self._pairs, self._shapes.types(schema)
        if "object" in kinds:
            yield self._shared(
                f"object:{_key_of(schema)}", lambda: self._properties(schema, pairs.pair, pairs.separator, path)
            )
        if "array" in kinds:
            yield self._shared(f"array:{_key_of(schema)}", lambda: self._items(schema, path))

    def _items(self, schema: Any, path: str) -> str:
        items = [
            self._lark.rule(self._pair(self._pairs.pair, self._pairs.item, item, below(path, "items")))
            for item in _item_schemas(self._shapes, schema)
        ]
        return self._listed(items, self._pairs.separator, schema)

    def _listed(self, items: list[str], separator: str, schema: Any) -> str:
        """Returns so many items as the schema allows."""
        least, most = _counts(self._shapes, schema)
        item, between = choice(items), self._lark.literal(separator)
        if most == 0 or not items:
            return ""
        more = f"{{{max(0, least - 1)},{'' if most is None else most - 1}}}"
        many = f"{item} ({row(between, item)}){more}"
        return many if least else f"({many})?"

    def _shared(self, key: str, body: Callable[[], str]) -> str:
        """Returns the rule of this key, which may be a part of itself."""
        if key not in self._known:
            self._known[key] = self._lark.new_name()
            self._lark.define(self._known[key], body() or '""')
        return self._known[key]

    def _json(self, schema: Any) -> str:
        return self._lark.rule(f"%json {json.dumps(self._shapes.alone(schema))}")

    def _value(self, schema: Any, path: str) -> str:
        """Returns a value that ends by itself."""
        if self._pairs.values is Values.JSON:
            return self._json(schema)
        return self._shared(f"value:{_key_of(schema)}", lambda: choice(list(self._values(schema, path))))

    def _values(self, schema: Any, path: str) -> Iterator[str]:
        """Yields the kinds of a value."""
        constants = _constants(schema)
        if constants is not None:
            kinds = self._shapes.types(schema)
            yield from (self._constant(value) for value in constants if _kind(value) in kinds)
            return
        words = _PYTHON_WORD if self._pairs.values is Values.PYTHON else _WORD
        for kind in _ORDER:
            if kind not in self._shapes.types(schema) or (kind == "integer" and "number" in self._shapes.types(schema)):
                continue
            if kind == "string":
                yield from self._strings(schema, path)
            elif kind in ("integer", "number"):
                yield self._number(schema, kind)
            elif kind in words:
                yield choice([quoted(word) for word in words[kind]])
            elif kind == "array":
                yield self._array(schema, path)
            else:
                yield self._object(schema, path)

    def _strings(self, schema: Any, path: str) -> Iterator[str]:
        if self._pairs.values is Values.BARE:
            opening = self._lark.literal(self._pairs.quote)
            yield from (row(opening, text) for text in self._raw(self._texts(schema, path), self._pairs.quote))
            return
        if self._shapes.texts(schema).are_free:
            yield self._lark.terminal(f"/{_DOUBLE}/")
            yield self._lark.terminal(f"/{_SINGLE}/")
            return
        yield self._json(self._restricted(schema, {"string"}))

    def _number(self, schema: Any, kind: str) -> str:
        if not isinstance(schema, dict) or not schema.keys() - _PLAIN:
            return self._lark.terminal(f"/{_INTEGER if kind == 'integer' else _NUMBER}/")
        return self._json(self._restricted(schema, {"integer", "number"}))

    def _array(self, schema: Any, path: str) -> str:
        items = [self._value(item, below(path, "items")) for item in _item_schemas(self._shapes, schema)]
        return row('"["', self._listed(items, self._comma, schema), '"]"')

    def _object(self, schema: Any, path: str) -> str:
        is_bare = self._pairs.values is Values.BARE
        pattern: Pattern = (Slot.KEY, ":", Slot.VALUE) if is_bare else ('"', Slot.KEY, '": ', Slot.VALUE)
        return row('"{"', self._properties(schema, pattern, self._comma, path), '"}"')

    @property
    def _comma(self) -> str:
        return "," if self._pairs.values is Values.BARE else ", "

    def _constant(self, value: Any) -> str:
        """Returns one value."""
        is_bare = self._pairs.values is Values.BARE
        if isinstance(value, str) and is_bare:
            quote = self._lark.literal(self._pairs.quote)
            return row(quote, quoted(value) if value else "", quote)
        if isinstance(value, bool) or value is None:
            words = _WORD if is_bare else _PYTHON_WORD
            kind = "null" if value is None else "boolean"
            return choice([quoted(word) for word in words[kind] if value is None or word.lower() == str(value).lower()])
        return self._json({"const": value})


def _in_slashes(pattern: str) -> str:
    """Returns a regular expression as it stands between slashes."""
    return pattern.replace("\\/", "/").replace("/", "\\/").replace("\n", "\\n")


def are_lines(pairs: Pairs) -> bool:
    """Returns whether white space may stand between pairs, and between the last one and what follows."""
    return pairs.values is Values.TEXT and not pairs.separator


def _with_text(pattern: Pattern, slot: Slot, text: str) -> Pattern:
    return tuple(text if part is slot else part for part in pattern)


def _key_of(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True)


def _constants(schema: Any) -> list[Any] | None:
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _kind(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _item_schemas(shapes: Shapes, schema: Any) -> list[Any]:
    """Returns the schemas of an array's items, one of which must fit each."""
    found = _of_arrays(shapes, schema)
    firsts = [item for part in found for item in part.get("prefixItems", [])]
    items = [part["items"] for part in found if "items" in part] or [True]
    return [item for item in (*firsts, *items) if item is not False]


def _of_arrays(shapes: Shapes, schema: Any) -> list[Schema]:
    return [part for part in shapes.parts(schema) if isinstance(part, dict) and "array" in shapes.types(part)]


def _counts(shapes: Shapes, schema: Any) -> tuple[int, int | None]:
    """Returns the least and the most items of an array."""
    found = _of_arrays(shapes, schema)
    least = max((part.get("minItems", 0) for part in found), default=0)
    most = [part["maxItems"] for part in found if "maxItems" in part]
    return least, min(most, default=None)
