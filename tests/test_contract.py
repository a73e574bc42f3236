"""What the descriptors of the protos must have in common, and the types that they must not have."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet

from tools.generate import descriptors
from tools.openapi.contract import PACKAGE, Contract, read_contract

Field = FieldDescriptorProto

ENDINGS = {"continue_final_message", "add_generation_prompt"}
THINKING = {"thinking", "reasoning_effort", "thinking_budget", "chat_template_kwargs"}
TWINS = [
    (
        "Request",
        {"prompt", "suffix"},
        {"messages", "tools", "tool_choice", "parallel_tool_calls", *ENDINGS, *THINKING},
    ),
    ("Response", {"text"}, {"message", "ignored_keywords"}),
    ("Alternatives", set(), set()),
    ("Alternative", {"text"}, {"message"}),
    ("StreamResponse", {"text"}, {"delta", "ignored_keywords"}),
]
"""How the messages of Generate and Chat end that have fields in common, and the fields that only one of them has."""

SHOWN_AS_STRING = {Field.TYPE_INT64, Field.TYPE_UINT64, Field.TYPE_SINT64, Field.TYPE_FIXED64, Field.TYPE_SFIXED64}
"""See https://protobuf.dev/programming-guides/json."""


class Element(NamedTuple):
    """All that matters of a field or oneof; a oneof has a comment only."""

    comment: str
    number: int = 0
    type: int = 0
    label: int = 0
    type_name: str = ""
    """Full name of the message or enum, with `Generate` and `Chat` replaced by `*`."""
    is_optional: bool = False
    oneof: str = ""
    """Name of the oneof that the field is a member of."""


@pytest.fixture(scope="module")
def committed() -> bytes:
    return descriptors()


@pytest.fixture
def contract(committed: bytes) -> Contract:
    """The protos' descriptors, which a test may change."""
    return read_contract(committed)


def elements(contract: Contract, name: str) -> dict[str, Element]:
    """Returns the fields and oneofs of a message, by name."""
    message = contract.messages[f"{PACKAGE}.{name}"]
    found = {field.name: field_element(contract, name, message, field) for field in message.field}
    oneofs = {field.oneof for field in found.values() if field.oneof}
    return found | {oneof: Element(contract.comments[f"{PACKAGE}.{name}.{oneof}"]) for oneof in oneofs}


def field_element(contract: Contract, name: str, message: DescriptorProto, field: Field) -> Element:
    type_name = field.type_name.replace(f".{PACKAGE}.Generate", "*").replace(f".{PACKAGE}.Chat", "*")
    in_oneof = field.HasField("oneof_index") and not field.proto3_optional
    return Element(
        contract.comments[f"{PACKAGE}.{name}.{field.name}"],
        field.number,
        field.type,
        field.label,
        type_name,
        field.proto3_optional,
        message.oneof_decl[field.oneof_index].name if in_oneof else "",
    )


def differences(contract: Contract, ending: str, only_generate: set[str], only_chat: set[str]) -> dict[str, object]:
    """Returns what differs between the twins, by the name of the field or oneof."""
    generate, chat = elements(contract, f"Generate{ending}"), elements(contract, f"Chat{ending}")
    assert only_generate <= generate.keys()
    assert only_chat <= chat.keys()
    shared = (generate.keys() | chat.keys()) - only_generate - only_chat
    pairs = {name: (generate.get(name), chat.get(name)) for name in shared}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@pytest.mark.parametrize(("ending", "only_generate", "only_chat"), TWINS)
def test_generate_and_chat_are_equal_where_they_mean_the_same(
    contract: Contract, ending: str, only_generate: set[str], only_chat: set[str]
) -> None:
    """Shared fields have the same names, numbers, types, labels, presence, oneofs and comments."""
    assert differences(contract, ending, only_generate, only_chat) == {}


def chat_field(contract: Contract, name: str) -> Field:
    (field,) = (field for field in contract.messages[f"{PACKAGE}.ChatRequest"].field if field.name == name)
    return field


def remove(contract: Contract, name: str) -> None:
    contract.messages[f"{PACKAGE}.ChatRequest"].field.remove(chat_field(contract, name))


def leave_the_oneof(contract: Contract, name: str) -> None:
    chat_field(contract, name).ClearField("oneof_index")


def lose_presence(contract: Contract, name: str) -> None:
    chat_field(contract, name).ClearField("proto3_optional")
    leave_the_oneof(contract, name)


def set_field(attribute: str, value: object) -> Callable[[Contract, str], None]:
    return lambda contract, name: setattr(chat_field(contract, name), attribute, value)


def set_comment(contract: Contract, name: str) -> None:
    contract.comments[f"{PACKAGE}.ChatRequest.{name}"] = "Other words."


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("top_k", set_field("number", 99)),
        ("top_k", set_field("type", Field.TYPE_INT32)),
        ("stop", set_field("label", Field.LABEL_OPTIONAL)),
        ("top_k", lose_presence),
        ("choice", set_field("type_name", f".{PACKAGE}.Finish")),
        ("logit_bias", set_field("type_name", f".{PACKAGE}.ChatRequest.OtherEntry")),
        ("lark", leave_the_oneof),
        ("top_k", set_comment),
        ("constraint", set_comment),
        ("top_k", remove),
    ],
)
def test_each_kind_of_difference_is_seen(
    contract: Contract, name: str, change: Callable[[Contract, str], None]
) -> None:
    """A change of one twin alone is found under the name of what was changed."""
    change(contract, name)
    ending, only_generate, only_chat = TWINS[0]
    assert list(differences(contract, ending, only_generate, only_chat)) == [name]


def fields(contract: Contract) -> Iterator[tuple[str, Field]]:
    """Yields all fields of our messages, with their names."""
    for name, message in contract.messages.items():
        if name.startswith("llm_inference."):
            yield from ((f"{name}.{field.name}", field) for field in message.field)


def test_json_shows_numbers_as_numbers(contract: Contract) -> None:
    """No field has a type that protobuf's JSON shows as a string, except strings, bytes and enums."""
    seen = dict(fields(contract))
    assert f"{PACKAGE}.ModelInfo.size_bytes" in seen
    assert [name for name, field in seen.items() if field.type in SHOWN_AS_STRING] == []
    others = {field.type_name for field in seen.values() if field.type_name.startswith(".google.protobuf.")}
    assert others == {".google.protobuf.Struct"}, "a Struct is shown as it is"


def test_rest_sees_every_method(contract: Contract, committed: bytes) -> None:
    """Why the rule on numbers has no exceptions: each method has an HTTP path."""
    declared = [
        method.name
        for file in FileDescriptorSet.FromString(committed).file
        if file.package.startswith("llm_inference.")
        for service in file.service
        for method in service.method
    ]
    assert sorted(method.descriptor.name for method in contract.methods) == sorted(declared)
