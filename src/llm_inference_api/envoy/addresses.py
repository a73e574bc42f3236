"""Addresses in Envoy's configuration (config.core.v3.Address)."""

from typing import Any

from llm_inference_api.network import is_unspecified

Json = dict[str, Any]


def listening(host: str, port: int) -> Json:
    """Returns the address to listen on; that of all IPv6 addresses takes IPv4 too, as gRPC's server does."""
    place = address(host, port)
    if is_unspecified(host) and ":" in host:
        place["socket_address"]["ipv4_compat"] = True
    return place


def address(host: str, port: int) -> Json:
    """Returns the address of a host and a port."""
    return {"socket_address": {"address": host, "port_value": port}}
