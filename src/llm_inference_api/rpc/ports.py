"""What the gRPC server listens on: its port, with or without TLS, a socket for Envoy, and a port for health checks."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from llm_inference_api.config.settings import Settings
from llm_inference_api.errors import StartError
from llm_inference_api.security.certificates import Certificates
from llm_inference_api.security.tls import TlsBytes
from llm_inference_api.shutdown import all_stopped


class Ports:
    """Opens and closes them."""

    def __init__(self, settings: Settings, server: grpc.aio.Server, health_server: grpc.aio.Server) -> None:
        """Takes the server of all services and one of health alone.

        Raises StartError where the certificate cannot be used.
        """
        self.certificates = Certificates(settings.tls_files) if settings.tls_files else None
        self._settings = settings
        self._server = server
        self._health_server = health_server
        self._following: asyncio.Task[None] | None = None

    async def open(self, sockets: Iterable[Path]) -> int:
        """Returns the gRPC port once the server answers on it and on the sockets. Raises StartError."""
        settings, certificates = self._settings, self.certificates
        safety = credentials(certificates) if certificates else None
        port = open_port(self._server, settings.hostname, settings.grpc_port, "LLM_GRPC_PORT", safety)
        for path in sockets:
            open_socket(self._server, path)
        await self._server.start()
        if settings.health_port is not None:
            open_port(self._health_server, settings.hostname, settings.health_port, "LLM_HEALTH_PORT")
            await self._health_server.start()
        if certificates is not None:
            self._following = asyncio.create_task(certificates.follow())
        return port

    async def close(self, grace: float) -> None:
        """Ends the server; RPCs that are still open have `grace` seconds."""
        if self._following is not None:
            self._following.cancel()
        await all_stopped(self._server.stop(grace), self._health_server.stop(grace))


def open_port(
    server: grpc.aio.Server, hostname: str, port: int, variable: str, safety: grpc.ServerCredentials | None = None
) -> int:
    """Returns the port that the server listens on. Raises StartError where it cannot be had."""
    address = f"[{hostname}]:{port}" if ":" in hostname else f"{hostname}:{port}"
    try:
        return server.add_secure_port(address, safety) if safety else server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartError(f"{variable}: {address} cannot be listened on; is it in use?") from error


def open_socket(server: grpc.aio.Server, path: Path) -> None:
    """Lets the server listen on a Unix socket, for this user and group only. Raises StartError."""
    try:
        server.add_insecure_port(f"unix:{path.absolute()}")
        path.chmod(0o660)
    except (RuntimeError, OSError) as error:
        hint = "LLM_GRPC_SOCKET, or TMPDIR for the Envoy that is started here, must lead to a short path to write to"
        raise StartError(f"the socket {path} cannot be listened on; {hint}") from error


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Returns credentials that take the newest certificate at each handshake; open connections go on as they are."""
    served = certificates.renewals

    def newest() -> Any:
        nonlocal served
        if served == certificates.renewals:
            return None
        served = certificates.renewals
        return _configuration(certificates.current)

    needs_client = certificates.files.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(_configuration(certificates.current), newest, needs_client)


def _configuration(tls: TlsBytes) -> Any:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)], tls.client_ca)
