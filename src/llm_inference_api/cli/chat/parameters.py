"""Parameters of answers that a person may set, read from the contract."""

import difflib
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from llm_inference.v1 import inference_pb2

_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_FLOATS = (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT)
_NOT_SHOWN = frozenset({"logprobs", "top_logprobs", "n", "parallel_tool_calls"})
"""Parameters of which this command shows no effect."""
_STOP = "stop"


class ChatError(Exception):
    """What was typed cannot be done; the text says why."""


_REQUEST: type[Message] = inference_pb2.ChatRequest


def _fields() -> dict[str, Any]:
    """Returns the descriptors of the request's optional fields of one value each, and of `stop`."""
    fields = _REQUEST.DESCRIPTOR.fields
    scalars = {
        field.name: field
        for field in fields
        # proto3's `optional` is a oneof whose name begins with an underscore.
        if (field.containing_oneof is not None and field.containing_oneof.name.startswith("_"))
        and field.type not in (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_BYTES)
        and field.name not in _NOT_SHOWN
    }
    return scalars | {_STOP: _REQUEST.DESCRIPTOR.fields_by_name[_STOP]}


FIELDS = _fields()


def parameter_name(text: str) -> str:
    """Returns the parameter that a word names, such as `top_p` for `top-p`. Raises ChatError if there is none."""
    name = text.replace("-", "_").lower()
    if name in FIELDS:
        return name
    near = [field for field in sorted(FIELDS) if field.startswith(name)] or difflib.get_close_matches(name, FIELDS, 1)
    hint = f"; do you mean {' or '.join(near)}?" if near else f"; there are {', '.join(sorted(FIELDS))}"
    raise ChatError(f"{text} is no parameter{hint}")


def parameter_value(name: str, text: str) -> Any:
    """Returns the value that a text means for a parameter; its range is the service's to check.

    Raises:
        ChatError: The text is no value of the parameter's type.
    """
    if name == _STOP:
        return [text]
    kind = FIELDS[name].type
    try:
        if kind == FieldDescriptor.TYPE_BOOL:
            return _BOOLEANS[text.lower()]
        if kind == FieldDescriptor.TYPE_STRING:
            return text
        value = float(text) if kind in _FLOATS else int(text)
    except (KeyError, ValueError):
        what = {FieldDescriptor.TYPE_BOOL: "true or false"}.get(
            kind, "a number" if kind in _FLOATS else "a whole number"
        )
        raise ChatError(f"{name} is {what}, not {text!r}") from None
    try:
        _REQUEST(**{name: value})
    except ValueError:
        raise ChatError(f"{name} cannot be as small or as large as {text}") from None
    return value


def checked(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of a file. Raises ChatError if one is unknown or has a value of another type."""
    for name, value in parameters.items():
        try:
            _REQUEST(**{parameter_name(name): value})
        except (TypeError, ValueError):
            raise ChatError(f"{name}: {value!r} is no value of this parameter") from None
    return dict(parameters)
