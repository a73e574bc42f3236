"""Addresses that the service listens on."""

import errno
import os
import socket
from ipaddress import ip_address

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


def _is_here(address: str) -> bool:
    try:
        bind_for_a_moment(address, 0)
    except OSError as error:
        return error.errno not in _FOREIGN
    return True
