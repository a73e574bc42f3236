"""Ports for processes that a test starts."""

import itertools
import random
import socket
from pathlib import Path

_FIRST = 12_000
_EPHEMERAL = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
"""From here on the kernel gives ports to clients' sockets, which could take one before its server listens."""
_candidates = itertools.cycle(random.sample(range(_FIRST, _EPHEMERAL), _EPHEMERAL - _FIRST))
_reservations: list[socket.socket] = []
"""One for each port that was handed out, open until this process ends."""


def free_port() -> int:
    """Returns a port on which nothing listens and which no other call returns, in this or another test process."""
    for port in itertools.islice(_candidates, _EPHEMERAL - _FIRST):
        reservation = socket.socket(socket.AF_UNIX)
        try:
            # An abstract address (unix(7)): bound by one process at a time, and free when that process is gone.
            reservation.bind(f"\0llm-inference-api/tests/port/{port}")
            _probe(port)
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        return port
    raise RuntimeError("no port is free")


def _probe(port: int) -> None:
    """Raises OSError where the port cannot be listened on."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier test that are in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", port))
