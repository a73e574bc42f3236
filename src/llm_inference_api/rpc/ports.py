"""Listening addresses of the gRPC servers: the gRPC port with or without TLS, Unix sockets, and the health port."""

import asyncio
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from llm_inference_api.config.settings import Settings
from llm_inference_api.errors import StartError, listen_error
from llm_inference_api.network import addresses_of, bind_for_a_moment
from llm_inference_api.security.certificates import Certificates
from llm_inference_api.security.tls import TlsBytes
from llm_inference_api.shutdown import all_stopped


class Ports:
    """Opens and closes the listening ports and sockets."""

    def __init__(self, settings: Settings, server: grpc.aio.Server, health_server: grpc.aio.Server) -> None:
        """Loads the TLS certificates, if configured.

        Args:
            settings: The service's settings.
            server: Server with all services.
            health_server: Server with the health service alone, for `settings.health_port`.

        Raises:
            StartError: The certificate is unusable.
        """
        self.certificates = Certificates(settings.tls_files) if settings.tls_files else None
        self._settings = settings
        self._server = server
        self._health_server = health_server
        self._following: asyncio.Task[None] | None = None

    async def open(self, sockets: Iterable[Path]) -> int:
        """Starts the servers and returns the bound gRPC port. Raises StartError if a port or socket cannot be bound."""
        settings, certificates = self._settings, self.certificates
        tls = credentials(certificates) if certificates else None
        port = open_ports(self._server, settings.grpc_hostnames, settings.grpc_port, "LLM_GRPC_PORT", tls)
        for path in sockets:
            open_socket(self._server, path)
        await self._server.start()
        if settings.health_port is not None:
            open_ports(self._health_server, settings.hostnames, settings.health_port, "LLM_HEALTH_PORT")
            await self._health_server.start()
        if certificates is not None:
            self._following = asyncio.create_task(certificates.follow())
        return port

    async def close(self, grace: float) -> None:
        """Stops the servers; RPCs in flight are cancelled after `grace` seconds."""
        if self._following is not None:
            self._following.cancel()
        await all_stopped(self._server.stop(grace), self._health_server.stop(grace))


def open_ports(
    server: grpc.aio.Server,
    hostnames: Sequence[str],
    port: int,
    variable: str,
    tls: grpc.ServerCredentials | None = None,
) -> int:
    """Binds a port on all addresses and returns its number, which for 0 is a free one of the first address.

    Raises:
        StartError: An address cannot be bound; the text names the setting `variable`.
    """
    for hostname in hostnames:
        try:
            addresses = addresses_of(hostname)
        except OSError as error:
            raise listen_error(variable, hostname, port, error) from error
        for address in addresses:
            port = _open_port(server, address, port, variable, tls)
    return port


def _open_port(
    server: grpc.aio.Server, address: str, port: int, variable: str, tls: grpc.ServerCredentials | None
) -> int:
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    try:
        return server.add_secure_port(target, tls) if tls else server.add_insecure_port(target)
    except RuntimeError as error:
        raise listen_error(variable, address, port, _reason(address, port)) from error


def _reason(hostname: str, port: int) -> OSError:
    """Returns why the port cannot be bound, which gRPC does not tell."""
    try:
        bind_for_a_moment(hostname, port)
    except OSError as error:
        return error
    return OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def open_socket(server: grpc.aio.Server, path: Path) -> None:
    """Binds a Unix socket, accessible to this user and group only. Raises StartError if that fails."""
    others = os.umask(0o117)  # So that the socket never has more rights than below, not even before `chmod`.
    try:
        server.add_insecure_port(f"unix:{path.absolute()}")
        path.chmod(0o660)
    except (RuntimeError, OSError) as error:
        hint = "set LLM_GRPC_SOCKET, or TMPDIR for the Envoy sidecar, to a short and writable path"
        raise StartError(f"the socket {path} cannot be listened on; {hint}") from error
    finally:
        os.umask(others)


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Returns credentials that use the latest certificate for each new handshake; open connections are kept."""
    served = certificates.renewals

    def renewed() -> Any:
        nonlocal served
        if served == certificates.renewals:
            return None
        served = certificates.renewals
        return _configuration(certificates.current)

    needs_client = certificates.files.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(_configuration(certificates.current), renewed, needs_client)


def _configuration(tls: TlsBytes) -> Any:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], tls.client_ca)
