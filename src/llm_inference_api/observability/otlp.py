"""Where telemetry goes, and by which of OTLP's two protocols."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

Protocol = Literal["grpc", "http/protobuf"]
TRACES_PATH = "/v1/traces"
"""Below the endpoint, for HTTP (OTLP specification)."""


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """A collector."""

    endpoint: str
    """`http://` or `https://`, host and port."""
    protocol: Protocol = "grpc"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each export, such as a key of the collector's."""


def parse_headers(text: str) -> dict[str, str]:
    """Returns the headers of a list such as `a=1,b=%20`. Raises ValueError where an item has no name or no `=`."""
    headers = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ValueError("it must be a list such as `name=value,name=value`")
        headers[unquote(name.strip()).lower()] = unquote(value.strip())
    return headers
