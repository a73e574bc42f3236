"""Credentials of the command line's client: API key, TLS and client certificate."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_inference_api.errors import StartError
from llm_inference_client import Tls

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

    def tls(self, *, spoken: bool | None) -> Tls | None:
        """Returns the certificates for a service that speaks TLS; None for one that does not.

        Args:
            spoken: Whether it does; None where the address does not say so: it does if an authority is set.

        Raises:
            StartError: A file cannot be read.
        """
        if not (self.authority is not None if spoken is None else spoken):
            return None
        files = {AUTHORITY: self.authority, CERTIFICATE: self.certificate, CERTIFICATE_KEY: self.certificate_key}
        return Tls(*(_content(name, path) for name, path in files.items()))


def _content(variable: str, path: str | None) -> bytes | None:
    try:
        return Path(path).expanduser().read_bytes() if path else None
    except RuntimeError as error:  # Of a user without a home directory.
        raise StartError(f"{variable}: {path} cannot be read ({error})") from error
    except OSError as error:
        raise StartError(f"{variable}: {path} cannot be read ({error.strerror})") from error
