"""JSON Schemas of the messages, in the JSON form of Envoy's transcoder."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from tools.openapi.contract import PACKAGE, Contract
from tools.openapi.limits import LIMITS, REQUIRED

Json = dict[str, Any]
Field = FieldDescriptorProto

_UINT32 = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_SCALARS: dict[int, Json] = {
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Field.TYPE_DOUBLE: {"type": "number"},
    Field.TYPE_FLOAT: {"type": "number"},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_UINT32: _UINT32,
}
_ALWAYS = {
    "ChatResponse": ["message", "usage"],
    "ChatAlternative": ["message"],
    "GenerateResponse": ["usage"],
    "EmbedResponse": ["usage"],
    "RankResponse": ["usage"],
    "GetModelResponse": ["model"],
    "LoadModelResponse": ["model"],
    "UnloadModelResponse": ["model"],
    "DownloadModelResponse": ["model"],
    "DeleteModelFilesResponse": ["model"],
    "WatchModelResponse": ["model"],
}
"""Submessages that are always present in responses, which proto3 cannot express."""


class Schemas:
    """The document's schemas; each is created when it is first referenced."""

    def __init__(self, contract: Contract) -> None:
        self.made: dict[str, Json] = {}
        self._contract = contract
        self._requested: set[str] = set()

    def request(self, message: str) -> Json:
        """Returns a reference to the schema of a request message."""
        return self._refer(message, is_request=True)

    def response(self, message: str) -> Json:
        """Returns a reference to the schema of a response message."""
        return self._refer(message, is_request=False)

    def _refer(self, full_name: str, *, is_request: bool) -> Json:
        name = full_name.strip(".").removeprefix(f"{PACKAGE}.").removeprefix("google.rpc.")
        if is_request:
            self._requested.add(name)
        elif name in self._requested:
            name += "Output"  # A response has more required fields than a request.
        if name not in self.made:
            self.made[name] = {}  # Ends the recursion of recursive messages.
            self.made[name] = self._schema(full_name.strip("."), is_request=is_request)
        return {"$ref": f"#/components/schemas/{name}"}

    def _schema(self, full_name: str, *, is_request: bool) -> Json:
        if full_name == "google.rpc.Status":
            return STATUS
        message, name = self._contract.messages[full_name], full_name.rpartition(".")[2]
        schema: Json = {"type": "object", "description": self._contract.comments[full_name]}
        properties = {
            field.name: self._property(full_name, message, field, is_request=is_request) for field in message.field
        }
        if properties:
            schema["properties"] = properties
        if is_request:
            schema["additionalProperties"] = False
        required = REQUIRED.get(name, []) if is_request else [*_printed(message), *_ALWAYS.get(name, [])]
        if required:
            schema["required"] = required
        if choices := list(self._oneofs(full_name, message)):
            schema["allOf"] = choices
        return schema

    def _property(self, owner: str, message: DescriptorProto, field: Field, *, is_request: bool) -> Json:
        limits = LIMITS.get(owner.rpartition(".")[2], {}).get(field.name, {}) if is_request else {}
        comment = self._contract.comments[f"{owner}.{field.name}"]
        if (entry := _map_entry(owner, message, field)) is not None:
            return {"type": "object", "description": comment, "additionalProperties": self._map_value(entry), **limits}
        value = self._value(field, is_request=is_request)
        if field.label == Field.LABEL_REPEATED:
            items = {**value, **limits.get("items", {})}
            return {"type": "array", "description": comment, **limits, "items": items}
        return {**value, "description": comment, **limits}

    def _value(self, field: Field, *, is_request: bool) -> Json:
        if field.type_name == ".google.protobuf.Struct":
            return {"type": "object"}
        if field.type == Field.TYPE_MESSAGE:
            return self._refer(field.type_name, is_request=is_request)
        if field.type == Field.TYPE_ENUM:
            values = self._contract.enums[field.type_name.strip(".")].value
            return {"type": "string", "enum": [value.name for value in values if value.number]}
        return dict(_SCALARS[field.type])

    def _map_value(self, entry: DescriptorProto) -> Json:
        return self._value(entry.field[1], is_request=True)

    def _oneofs(self, owner: str, message: DescriptorProto) -> Iterator[Json]:
        """Yields, for each oneof, the schema that at most one of its fields is set."""
        for index, oneof in enumerate(message.oneof_decl):
            names = [
                field.name
                for field in message.field
                if field.HasField("oneof_index") and field.oneof_index == index and not field.proto3_optional
            ]
            if names:
                given = [{"required": [name]} for name in names]
                comment = self._contract.comments[f"{owner}.{oneof.name}"]
                yield {"description": comment, "oneOf": [*given, {"not": {"anyOf": given}}]}


def _map_entry(owner: str, message: DescriptorProto, field: Field) -> DescriptorProto | None:
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name == f".{owner}.{nested.name}":
            return nested
    return None


def _printed(message: DescriptorProto) -> Iterator[str]:
    """Yields the fields that Envoy always prints: lists, and scalars without presence."""
    for field in message.field:
        is_list = field.label == Field.LABEL_REPEATED
        if is_list or not (field.HasField("oneof_index") or field.type == Field.TYPE_MESSAGE):
            yield field.name


STATUS: Json = {
    "type": "object",
    "description": "An error (google.rpc.Status).",
    "properties": {
        "code": {"type": "integer", "description": "Its google.rpc.Code."},
        "message": {"type": "string", "description": "Human-readable description."},
        "details": {
            "type": "array",
            "description": "Machine-readable details. Errors of the service begin with google.rpc.ErrorInfo, whose "
            "`reason` is stable. BadRequest names the field, RetryInfo the delay before a retry. Envoy's own errors "
            "have no details.",
            "items": {
                "type": "object",
                "properties": {"@type": {"type": "string"}},
                "required": ["@type"],
                "additionalProperties": True,
            },
        },
    },
    "required": ["code", "message", "details"],
}
