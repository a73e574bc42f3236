"""Addresses that the service listens on."""

import errno
import os
import socket
from collections.abc import MutableMapping
from ipaddress import ip_address

_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy")
_FOREIGN = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of binding an address that this machine does not have, or of a family that its kernel does not speak."""


def addresses_of(hostname: str) -> tuple[str, ...]:
    """Returns the addresses of a name that this machine has; an address as it is.

    Raises:
        OSError: The name cannot be resolved (socket.gaierror), or none of its addresses is this machine's.
    """
    found = dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM))
    if hostname in found:
        return (hostname,)
    here = tuple(address for address in found if _is_here(address))
    if not here:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return here


def bind_for_a_moment(address: str, port: int) -> None:
    """Raises OSError if the port cannot be bound."""
    family, _, _, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(target)


def is_unspecified(address: str) -> bool:
    """Whether the address stands for all of its family, as 0.0.0.0 and :: do."""
    try:
        return ip_address(address).is_unspecified
    except ValueError:
        return False


def listed(text: str) -> tuple[str, ...]:
    """Returns the items of a comma-separated list, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.split(",")))))


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Adds this machine's addresses to those that gRPC and HTTP clients reach without the environment's proxy."""
    if not any(environment.get(name) for name in environment if name.lower() in _PROXIES):
        return
    for names in (("no_proxy", "NO_PROXY"), ("no_grpc_proxy",)):
        given = [environment[name] for name in names if environment.get(name)]
        if "*" not in given and (given or names[0] == "no_proxy"):
            environment.update(dict.fromkeys(names, ",".join(listed(",".join((*given, *_LOOPBACK))))))


def _is_here(address: str) -> bool:
    try:
        bind_for_a_moment(address, 0)
    except OSError as error:
        return error.errno not in _FOREIGN
    return True
