"""The filter that names unknown fields of JSON bodies to the service, see `fields.lua`."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet, MethodDescriptorProto

from llm_inference_api.envoy.extensions import typed
from llm_inference_api.requests.json_size import MAX_VALUES

Messages = Mapping[str, DescriptorProto]
Table = dict[str, str]

_NOTHING = "nothing"
"""Name of the message without fields: the body of a method that takes none."""
_ANY_NAME = "*"
_VARIABLE = re.compile(r"\{(\w+)(?:=([^}]*))?\}")
"""Name and template of a path's variable; `*`, the default, stands for one segment, and `**` for all that follow."""
_MAGIC = re.compile(r"\*\*?|[-^$().%\[\]+?]")
"""Wildcards of a template, and characters with a meaning in Lua's patterns."""
_WILDCARDS = {"*": "[^/]+", "**": ".+"}
_LINK = """
for _, fields in pairs(MESSAGES) do
  for name, message in pairs(fields) do
    fields[name] = MESSAGES[message] or true
  end
end
"""
"""Replaces the names of messages by the messages, which may contain each other."""


def http_methods(descriptor_set: Path, services: Sequence[str]) -> tuple[str, ...]:
    """Returns the HTTP methods of the services' rules, such as `GET`, sorted. The arguments are as for the filter."""
    contract = FileDescriptorSet.FromString(descriptor_set.read_bytes())
    verbs = {rule.WhichOneof("pattern") for method in _methods(contract, services) for rule in _rules(method)}
    return tuple(sorted(verb.upper() for verb in verbs if verb))


def fields_filter(descriptor_set: Path, services: Sequence[str]) -> dict[str, Any]:
    """Returns the filter for the services' methods that take JSON.

    Args:
        descriptor_set: Path of the serialized FileDescriptorSet with the services and their HTTP rules.
        services: Full names of the services.
    """
    contract = FileDescriptorSet.FromString(descriptor_set.read_bytes())
    messages = {
        name: message
        for file in contract.file
        if not file.package.startswith("google.")  # Those have a JSON of their own, such as that of Struct.
        for name, message in _nested(f".{file.package}", file.message_type)
    }
    bodies = dict(body for method in _methods(contract, services) for body in _bodies(method, messages))
    exact = {call: name for call, name in bodies.items() if not _VARIABLE.search(call)}
    patterns = {_pattern(call): name for call, name in bodies.items() if call not in exact}
    queries = dict(query for method in _methods(contract, services) for query in _queries(method, messages))
    tables = dict[str, Table]({_NOTHING: {}}) | dict(_tables(bodies.values(), messages))
    script = files("llm_inference_api.envoy").joinpath("fields.lua").read_text()
    listed = ", ".join(f"[{json.dumps(name)}] = {_lua(table)}" for name, table in sorted(tables.items()))
    defined = (
        f"BODIES = {_lua(exact)}",
        f"PATTERNS = {_lua(patterns)}",
        f"MESSAGES = {{{listed}}}",
        f"QUERIES = {_lua_queries(queries)}",
        f"MOST_VALUES = {MAX_VALUES}",
    )
    source = "\n".join((*(f"local {line}" for line in defined), _LINK, script))
    config = typed(
        "extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": source},
        # The route has been chosen by what the caller sent, before the filter for Connect changes it.
        clear_route_cache=False,
    )
    return {"name": "fields", "typed_config": config}


def _methods(contract: FileDescriptorSet, services: Sequence[str]) -> Iterator[MethodDescriptorProto]:
    for file in contract.file:
        for service in file.service:
            if f"{file.package}.{service.name}" in services:
                yield from service.method


def _rules(method: MethodDescriptorProto) -> tuple[Any, ...]:
    """Returns the method's HTTP rules (google.api.HttpRule)."""
    first = method.options.Extensions[annotations_pb2.http]
    return first, *first.additional_bindings


def _nested(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[tuple[str, DescriptorProto]]:
    """Yields the messages and those inside them, by full name as fields refer to them: with a dot before it."""
    for message in messages:
        yield f"{scope}.{message.name}", message
        yield from _nested(f"{scope}.{message.name}", message.nested_type)


def _bodies(method: MethodDescriptorProto, messages: Messages) -> Iterator[tuple[str, str]]:
    """Yields, for each HTTP rule of the method whose body is JSON, `METHOD path` and the body's message."""
    for rule in _rules(method):
        verb = rule.WhichOneof("pattern")
        if verb is None or verb == "get":
            continue
        name = {"": _NOTHING, "*": method.input_type}.get(rule.body)
        if name is None:
            (name,) = (field.type_name for field in messages[method.input_type].field if field.name == rule.body)
        if name == _NOTHING or name in messages:  # Else it is bytes for the service, by google.api.HttpBody.
            yield f"{verb.upper()} {getattr(rule, verb)}", name


def _queries(method: MethodDescriptorProto, messages: Messages) -> Iterator[tuple[str, list[str]]]:
    """Yields, for each HTTP rule of the method, `METHOD path` and the names of its parameters.

    They are those fields that are neither in the path nor the body. A list would be given several times; there is none.
    """
    for rule in _rules(method):
        verb = rule.WhichOneof("pattern")
        if verb is None or method.input_type not in messages:
            continue
        path = getattr(rule, verb)
        elsewhere = {name for name, _ in _VARIABLE.findall(path)} | {rule.body}
        fields = () if rule.body == "*" else messages[method.input_type].field
        names = {name for field in fields if field.name not in elsewhere for name in (field.name, field.json_name)}
        yield f"{verb.upper()} {path}", sorted(names)


def _tables(bodies: Iterable[str], messages: Messages) -> Iterator[tuple[str, Table]]:
    """Yields the bodies' messages and those inside them, by name: the message of each field, "" for other values."""
    waiting, seen = set(bodies) - {_NOTHING}, set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        table = _table(messages[name])
        yield name, {field: kind if kind in messages else "" for field, kind in table.items()}
        waiting |= (set(table.values()) & messages.keys()) - seen


def _table(message: DescriptorProto) -> Table:
    if message.options.map_entry:
        (value,) = (field for field in message.field if field.name == "value")
        return {_ANY_NAME: value.type_name}
    return {name: field.type_name for field in message.field for name in (field.name, field.json_name)}


def _pattern(call: str) -> str:
    """Returns the Lua pattern of a method and path with variables."""
    path = _VARIABLE.sub(lambda variable: variable[2] or "*", call)
    return f"^{_MAGIC.sub(lambda part: _WILDCARDS.get(part[0], f'%{part[0]}'), path)}$"


def _lua_queries(queries: Mapping[str, Sequence[str]]) -> str:
    """Returns a Lua list of patterns and sets of names, such that the one that says most of a path stands first."""
    ordered = sorted(queries, key=lambda call: (bool(_VARIABLE.search(call)), -len(call), call))
    sets = {call: ", ".join(f"[{json.dumps(name)}] = true" for name in queries[call]) for call in ordered}
    return f"{{{', '.join(f'{{{json.dumps(_pattern(call))}, {{{names}}}}}' for call, names in sets.items())}}}"


def _lua(table: Table) -> str:
    """Returns a Lua table of texts."""
    return f"{{{', '.join(f'[{json.dumps(key)}] = {json.dumps(value)}' for key, value in sorted(table.items()))}}}"
