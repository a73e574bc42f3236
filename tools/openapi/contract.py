"""Reads the contract from its descriptor set, including the protos' comments."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

PACKAGE = "llm_inference.v1"
_PACKAGES = (PACKAGE, "llm_inference.web.v1", "google.rpc")

# Field numbers of descriptor.proto, which make up SourceCodeInfo.Location.path.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _ONEOFS = 2, 3, 4, 8
_METHODS, _VALUES = 2, 2


class Method(NamedTuple):
    """An RPC with an HTTP binding (google.api.http)."""

    service: str
    descriptor: MethodDescriptorProto
    comment: str
    verb: str
    path: str
    body: str
    response_body: str


@dataclass(slots=True)
class Contract:
    """Messages and enums by full name, methods in order, and the comment of each element."""

    messages: dict[str, DescriptorProto] = field(default_factory=dict)
    enums: dict[str, EnumDescriptorProto] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    """Comment of each service."""
    methods: list[Method] = field(default_factory=list)

    def add(self, file: FileDescriptorProto) -> None:
        """Adds all elements of a proto."""
        comments = {tuple(place.path): _text(place.leading_comments) for place in file.source_code_info.location}
        for index, message in enumerate(file.message_type):
            self._add_message(f"{file.package}.{message.name}", message, (_MESSAGES, index), comments)
        for index, enum in enumerate(file.enum_type):
            self._add_enum(f"{file.package}.{enum.name}", enum, (_ENUMS, index), comments)
        for index, service in enumerate(file.service):
            self.services[service.name] = comments.get((_SERVICES, index), "")
            for at, method in enumerate(service.method):
                comment = comments.get((_SERVICES, index, _METHODS, at), "")
                self.methods.extend(_method(service.name, method, comment))

    def _add_message(
        self, name: str, message: DescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str]
    ) -> None:
        self.messages[name] = message
        self.comments[name] = comments.get(path, "")
        for index, member in enumerate(message.field):
            self.comments[f"{name}.{member.name}"] = comments.get((*path, _FIELDS, index), "")
        for index, oneof in enumerate(message.oneof_decl):
            self.comments[f"{name}.{oneof.name}"] = comments.get((*path, _ONEOFS, index), "")
        for index, nested in enumerate(message.nested_type):
            self._add_message(f"{name}.{nested.name}", nested, (*path, _NESTED, index), comments)
        for index, enum in enumerate(message.enum_type):
            self._add_enum(f"{name}.{enum.name}", enum, (*path, _NESTED_ENUMS, index), comments)

    def _add_enum(
        self, name: str, enum: EnumDescriptorProto, path: tuple[int, ...], comments: dict[tuple[int, ...], str]
    ) -> None:
        self.enums[name] = enum
        self.comments[name] = comments.get(path, "")
        for index, value in enumerate(enum.value):
            self.comments[f"{name}.{value.name}"] = comments.get((*path, _VALUES, index), "")


def read_contract(descriptors: bytes) -> Contract:
    """Returns the contract of a serialised descriptor set with source information."""
    contract = Contract()
    for file in FileDescriptorSet.FromString(descriptors).file:
        if file.package in _PACKAGES:
            contract.add(file)
    return contract


def _method(service: str, method: MethodDescriptorProto, comment: str) -> Iterator[Method]:
    rule = method.options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    if verb is not None:
        path = getattr(rule, verb).replace("=**}", "}")
        yield Method(service, method, comment, verb, path, rule.body, rule.response_body)


def _text(comment: str) -> str:
    return "\n".join(line.strip() for line in comment.strip().splitlines()).replace("\n", " ")
