"""Parses upstream addresses of the form `host:port`."""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.config.addresses import is_ip

_PORTS = range(1, 65536)


class UpstreamError(ValueError):
    """An upstream address is invalid."""


class Upstream(NamedTuple):
    """gRPC address of one replica, or a DNS name of several."""

    host: str
    port: int

    @property
    def is_name(self) -> bool:
        """Whether the host is a name rather than an IP address."""
        return not is_ip(self.host)


def parse_upstreams(texts: Sequence[str]) -> tuple[Upstream, ...]:
    """Returns the addresses.

    Raises:
        UpstreamError: An address is invalid or given twice; the text lists all problems.
    """
    problems, upstreams = [], list[Upstream]()
    for text in texts:
        try:
            upstream = _parse(text)
        except UpstreamError as error:
            problems.append(str(error))
            continue
        if upstream in upstreams:
            problems.append(f"{text!r} is given twice")
        upstreams.append(upstream)
    if problems:
        raise UpstreamError(f"--upstream: {'; '.join(problems)}")
    return tuple(upstreams)


def _parse(text: str) -> Upstream:
    if text.startswith("unix:"):
        raise UpstreamError(f"{text!r} is a socket of one service; replicas must each be host:port")
    if "://" in text:
        raise UpstreamError(f"{text!r} is a URL; write host:port without {text.partition('://')[0]}://")
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise UpstreamError(f"{text!r} has no port; write host:port, such as {host or text or 'host'}:50051")
    if not (port.isascii() and port.isdigit() and int(port) in _PORTS):
        raise UpstreamError(f"{text!r} has the port {port!r}, which is not between 1 and 65535")
    return Upstream(_host(host, text), int(port))


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError as error:
            raise UpstreamError(f"{text!r} has no IPv6 address between its brackets") from error
    if ":" in host:
        raise UpstreamError(f"{text!r} is ambiguous; put an IPv6 address in brackets: [{host}]:50051")
    labels = host.removesuffix(".").split(".")
    if not all(label.isascii() and label.replace("-", "").replace("_", "").isalnum() for label in labels):
        raise UpstreamError(f"{text!r} has {host!r}, which is neither an address nor a host name")
    return host
