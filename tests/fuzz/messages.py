"""Random protobuf messages of any type, by their descriptors: edges of ranges, odd texts, unknown members."""

import math
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

DEEPEST = 4
TEXTS = (
    *("", " ", "a", "hello", "tiny", "steady", "missing", "user", "system", "assistant", "tool", "none", "auto"),
    *("\x00", "a\x00b", "\r\n", "\x1b[31m", "\u202eabc", "\ufeffx", "a\u0301\u0301", "\U0001f468\u200d\U0001f469"),
    *("<|im_start|>", "<|im_end|>", "</s>", "<s>", "[INST]", "{{ 7*7 }}", "{% for x in y %}", "${x}", "%s%n"),
    *("../../etc/passwd", "/etc/passwd", "%2e%2e%2f", "file:///etc/passwd", "x" * 300, "x" * 20_000, "é" * 5_000),
    *("{}", "[]", "null", '{"type": "object"}', '{"type": "integer"}', "[[[[[[[[[[", '{"$ref": "#"}', '{"a": 1e999}'),
    *(".*", "(a+)+$", "[a-z]{1,1000}", "(?<=a)b", "a{1000000}", "start: /a/", "root ::= 'a'", "\\p{L}+", "\\"),
    *("1", "-1", "NaN", "Infinity", "1e400", "0x10", "9" * 400, "true", "2026-11-26T00:00:00Z"),
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-45, 1e-310, 3.4e38, -3.4e38, 1e308, math.nan, math.inf, -math.inf)
_INTEGERS = (0, 1, 2, 3, 20, 21, 100, 1000, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**64 - 1)
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def mutate(message: Message, random: Random) -> Message:
    """Changes, adds or clears up to four of the message's members, wherever in it; returns the message."""
    for _ in range(random.randint(0, 4)):
        part = _some_part(message, random)
        fields = part.DESCRIPTOR.fields
        if not fields:
            continue
        field = random.choice(fields)
        if random.random() < 0.15:
            part.ClearField(field.name)
        else:
            _set(part, field, random, 1)
    return message


def fill(message: Message, random: Random, depth: int = 0) -> Message:
    """Sets about a third of the message's members; returns the message."""
    for field in message.DESCRIPTOR.fields:
        if random.random() < 0.35:
            _set(message, field, random, depth + 1)
    return message


def _some_part(message: Message, random: Random) -> Message:
    parts = [message]
    for field, value in message.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE and not _is_map(field):
            parts.extend(value if field.is_repeated else [value])
    chosen = random.choice(parts)
    return chosen if chosen is message or random.random() < 0.5 else _some_part(chosen, random)


def _set(message: Message, field: FieldDescriptor, random: Random, depth: int) -> None:
    if _is_map(field):
        entry: Descriptor = field.message_type
        target = getattr(message, field.name)
        for _ in range(random.randint(1, 3)):
            key = _scalar(entry.fields_by_name["key"], random)
            value = entry.fields_by_name["value"]
            if value.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                fill(target[key], random, depth)
            else:
                target[key] = _scalar(value, random)
    elif field.is_repeated:
        target = getattr(message, field.name)
        for _ in range(random.choice((1, 1, 2, 3, 17, 200))):
            if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
                if depth < DEEPEST:
                    fill(target.add(), random, depth)
            else:
                target.append(_scalar(field, random))
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(message, field.name).SetInParent()
        if depth < DEEPEST:
            fill(getattr(message, field.name), random, depth)
    else:
        setattr(message, field.name, _scalar(field, random))


def _scalar(field: FieldDescriptor, random: Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = random.choice(TEXTS)
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.CPPTYPE_FLOAT:
            return min(max(random.choice(_FLOATS), -3.4e38), 3.4e38) if random.random() < 0.7 else math.nan
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return random.choice(_FLOATS)
        case FieldDescriptor.CPPTYPE_ENUM:
            return random.choice([value.number for value in field.enum_type.values] + [99, -1])
    lowest, highest = _BITS[field.cpp_type]
    number = random.choice(_INTEGERS) * random.choice((1, 1, -1))
    return min(max(number, lowest), highest)


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)
