"""Credentials of the command line's client: API key, TLS and client certificate."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from llm_inference_api.cli.address import parse_address
from llm_inference_api.errors import StartError

KEY, AUTHORITY, CERTIFICATE, CERTIFICATE_KEY = "LLM_API_KEY", "LLM_TLS_CA", "LLM_TLS_CERT", "LLM_TLS_KEY"


@dataclass(frozen=True, slots=True)
class Access:
    """API key and certificates for one service."""

    key: str | None = None
    authority: str | None = None
    """Path of the PEM file with the CA of the service's certificate; None for gRPC's default roots."""
    certificate: str | None = None
    """Path of the client certificate, in PEM form."""
    certificate_key: str | None = None
    """Path of the client certificate's key, in PEM form."""

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> "Access":
        """Reads LLM_API_KEY, LLM_TLS_CA, LLM_TLS_CERT and LLM_TLS_KEY; options would show the key to other users."""
        names = (KEY, AUTHORITY, CERTIFICATE, CERTIFICATE_KEY)
        return Access(*(environment.get(name) or None for name in names))

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Metadata of every call."""
        return (("authorization", f"Bearer {self.key}"),) if self.key else ()

    def channel(self, address: str, interceptors: Sequence[grpc.aio.ClientInterceptor] = ()) -> grpc.aio.Channel:
        """Returns a channel to the address; with TLS if it says so, or says nothing and an authority is set.

        Raises:
            StartError: The address cannot be used, or a file cannot be read.
        """
        target, tls = parse_address(address)
        if not (self.authority is not None if tls is None else tls):
            return grpc.aio.insecure_channel(target, interceptors=interceptors)
        files = zip((AUTHORITY, CERTIFICATE_KEY, CERTIFICATE), self._paths, strict=True)
        credentials = grpc.ssl_channel_credentials(*(_content(name, path) for name, path in files))
        return grpc.aio.secure_channel(target, credentials, interceptors=interceptors)

    @property
    def _paths(self) -> tuple[str | None, str | None, str | None]:
        return self.authority, self.certificate_key, self.certificate


def _content(variable: str, path: str | None) -> bytes | None:
    try:
        return Path(path).expanduser().read_bytes() if path else None
    except RuntimeError as error:  # Of a user without a home directory.
        raise StartError(f"{variable}: {path} cannot be read ({error})") from error
    except OSError as error:
        raise StartError(f"{variable}: {path} cannot be read ({error.strerror})") from error
