"""The OTLP collector: endpoint, transport and headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

Protocol = Literal["grpc", "http/protobuf"]
TRACES_PATH = "/v1/traces"
"""Path of traces below the endpoint for OTLP/HTTP (OTLP specification)."""


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """An OTLP collector."""

    endpoint: str
    """URL: `http://` or `https://`, host and port."""
    protocol: Protocol = "grpc"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each export, such as the collector's API key."""


def parse_headers(text: str) -> dict[str, str]:
    """Parses OTEL_EXPORTER_OTLP_HEADERS, such as `a=1,b=%20`, into headers by lower-case name.

    Raises:
        ValueError: An item has no name or no `=`.
    """
    headers = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            raise ValueError("it must be a list such as `name=value,name=value`")
        headers[unquote(name.strip()).lower()] = unquote(value.strip())
    return headers
