"""Where a service is: what `--address` and LLM_ADDRESS may say."""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from llm_inference_api.errors import StartError

DEFAULT_PORT = 50051
_URL_PORTS = {"http": 80, "https": 443}
_RESOLVERS = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:")
"""Prefixes of gRPC's own target names (grpc/doc/naming.md), which are handed on as they are."""
_WHOLE_IPV6 = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(%\w+)?")
"""An IPv6 address without brackets, and so without a port."""


class Address(NamedTuple):
    """A gRPC server to connect to."""

    target: str
    """gRPC's name of it, such as `host:port`."""
    tls: bool | None
    """Whether it speaks TLS; None where the address does not say so."""


def parse_address(text: str) -> Address:
    """Returns the server that an address names: `host:port`, `host`, an http(s) URL, or one of gRPC's target names.

    Envoy's port speaks gRPC too, so the URL of the REST API is an address.

    Raises:
        StartError: The address is none of these.
    """
    stripped = text.strip()
    if stripped.startswith(_RESOLVERS):
        return Address(stripped, None)
    scheme, separator, rest = stripped.partition("://")
    if not separator:
        return Address(_host_and_port(text, stripped, DEFAULT_PORT), None)
    if scheme.lower() not in _URL_PORTS:
        raise _refusal(text, f"{scheme}:// is not known here")
    return Address(_host_and_port(text, rest.removesuffix("/"), _URL_PORTS[scheme.lower()]), scheme.lower() == "https")


def _host_and_port(text: str, authority: str, default: int) -> str:
    if any(char in authority for char in "/?#"):
        raise _refusal(text, "it has a path")
    if "@" in authority:
        raise StartError("--address: a user name does not belong into it; LLM_API_KEY is the key to send")
    if _WHOLE_IPV6.fullmatch(authority):
        authority = f"[{authority}]"
    try:
        parts = urlsplit(f"//{authority}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal(text, "its port is not a number from 1 to 65535") from None
    if not host or any(char.isspace() for char in authority):
        raise _refusal(text, "it names no host")
    if port == 0:
        raise _refusal(text, "its port is not a number from 1 to 65535")
    return f"[{host}]:{port or default}" if ":" in host else f"{host}:{port or default}"


def _refusal(text: str, problem: str) -> StartError:
    return StartError(f"--address: {text!r} cannot be used, since {problem}; write host:port, or https://host:port")
