"""Refuses JSON fields and query parameters that a method does not take. Envoy names them in a header."""

import re
from difflib import get_close_matches
from typing import TypeVar
from urllib.parse import unquote

from google.protobuf.descriptor import Descriptor

from llm_inference_api import headers
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.json_size import MAX_VALUES
from llm_inference_api.rpc.call import Call

_NO_JSON, _TOO_MANY = "!", "+"
"""What Envoy says instead of a field's place."""
_PARAMETERS = {
    "?": "is not a query parameter of this path",
    "&": "is given twice in the query; it may be given once",
}
"""What is said of a query parameter, by the mark before its name."""
_INDEX = re.compile(r"\[\d+\]")
_OLLAMA = (
    "is a field of Ollama's API, which this is not, though the path is the same: that has a port of its own here, if "
    "LLM_OLLAMA_PORT is set; this one's fields are in /openapi.json"
)
_ELSEWHERE = {
    **dict.fromkeys(("options", "keep_alive", "format", "think", "raw", "template", "context", "images"), _OLLAMA),
    "stream": "is not a field here: a path that ends with /stream streams, such as /api/chat/stream",
}
"""What is said of top-level fields that other APIs have."""

Request = TypeVar("Request")


def known(request: Request, call: Call) -> Request:
    """Returns the request. Raises InvalidFieldError if Envoy has found an unknown field or wrong parameter in it."""
    report = dict(call.invocation_metadata()).get(headers.UNKNOWN_FIELD)
    if report is None:
        return request
    place = str(report)
    if place == _NO_JSON:
        raise InvalidFieldError("body", "is no valid JSON")
    if place == _TOO_MANY:
        raise InvalidFieldError("body", f"has more than {MAX_VALUES} values")
    if place[:1] in _PARAMETERS:
        raise InvalidFieldError(unquote(place[1:]) or "query", _PARAMETERS[place[0]])
    descriptor: Descriptor | None = getattr(request, "DESCRIPTOR", None)
    raise InvalidFieldError(unquote(place), _problem(place, descriptor))


def _problem(place: str, message: Descriptor | None) -> str:
    if place in _ELSEWHERE:
        return _ELSEWHERE[place]
    *outer, name = _INDEX.sub("", place).split(".")
    for field in outer:
        message = message.fields_by_name[field].message_type if message and field in message.fields_by_name else None
    near = get_close_matches(unquote(name), message.fields_by_name if message else (), 1)
    hint = f"did you mean {near[0]}?" if near else "leave it out"
    return f"is not a field that this service knows; {hint}"
