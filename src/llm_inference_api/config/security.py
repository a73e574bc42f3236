"""The settings that say who may connect, and how."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from llm_inference_api.config.fields import variable as _variable
from llm_inference_api.security.api_keys import KeyRing
from llm_inference_api.security.tls import CERTIFICATE, CLIENT_CA, KEY, TlsFiles

API_KEYS = "LLM_API_KEYS"
SECRETS = ("api_keys",)
"""Fields whose values nobody is shown."""
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@*\s]+", re.IGNORECASE)
_LONGEST_SOCKET_PATH = 107
"""Bytes (unix(7))."""


class SecuritySettings(BaseSettings):
    """TLS, API keys and the limits of one caller."""

    uses_files: ClassVar[bool] = False
    """Whether the files that the settings name must be there. Not where a configuration for another machine is made."""

    ssl_enabled: bool = _variable(
        "SERVER_SSL_ENABLED", False, "Whether clients connect with TLS, on the REST port and on the gRPC port."
    )
    tls_cert_path: Path | None = _variable(
        CERTIFICATE, None, "The server's certificate in PEM form, its intermediate ones after it."
    )
    tls_key_path: Path | None = _variable(KEY, None, "The certificate's key in PEM form.")
    tls_client_ca_path: Path | None = _variable(
        CLIENT_CA, None, "Authorities in PEM form; set, every client must show a certificate of theirs (mTLS)."
    )
    api_keys: SecretStr | None = _variable(
        API_KEYS,
        None,
        "Keys that callers must send as `Authorization: Bearer`, comma-separated, each as `name:key`; logs show "
        "the name.",
    )
    api_keys_file: Path | None = _variable(
        "LLM_API_KEYS_FILE", None, "File with such keys, one `name:key` a line; it is read again when it changes."
    )
    public_pages: bool = _variable(
        "LLM_PUBLIC_PAGES", False, "Whether the pages about the API need no key where keys are set."
    )
    max_requests_per_caller: int | None = _variable(
        "LLM_MAX_REQUESTS_PER_CALLER",
        None,
        "Requests that one caller may have open at the same time. A caller is a key's name, else a client "
        "certificate's subject, else an address.",
        ge=1,
    )
    prefix_cache_per_caller: bool = _variable(
        "LLM_PREFIX_CACHE_PER_CALLER",
        False,
        "Whether each caller has cached prefixes of its own, so that nobody can find out what others have sent.",
    )
    health_port: int | None = _variable(
        "LLM_HEALTH_PORT",
        None,
        "Port without TLS that answers gRPC health checks and nothing else, for probes that know neither.",
        ge=1,
        le=65535,
    )
    grpc_socket: Path | None = _variable(
        "LLM_GRPC_SOCKET",
        None,
        "Unix socket on which an Envoy of another container finds the service, without TLS; what Envoy says there of "
        "who called is believed.",
    )

    @property
    def tls_files(self) -> TlsFiles | None:
        """The files of the certificate, where clients connect with TLS."""
        if not self.ssl_enabled or self.tls_cert_path is None or self.tls_key_path is None:
            return None
        return TlsFiles(self.tls_cert_path, self.tls_key_path, self.tls_client_ca_path)

    def key_ring(self) -> KeyRing:
        """Returns the API keys. Raises ValueError with a line for each thing that is wrong with them."""
        return KeyRing(self.api_keys.get_secret_value() if self.api_keys else None, self.api_keys_file)

    def security_problems(self) -> Iterator[str]:
        """Yields a sentence for each thing that is wrong."""
        yield from self._tls_problems()
        yield from self._key_problems()
        yield from self._socket_problems()

    def _tls_problems(self) -> Iterator[str]:
        paths = {CERTIFICATE: self.tls_cert_path, KEY: self.tls_key_path, CLIENT_CA: self.tls_client_ca_path}
        if self.ssl_enabled:
            missing = [name for name in (CERTIFICATE, KEY) if paths[name] is None]
            yield from (f"{name}: it is needed where SERVER_SSL_ENABLED is true" for name in missing)
        elif "ssl_enabled" not in self.model_fields_set:
            # Whoever names a certificate takes the service for encrypted.
            given = [name for name, path in paths.items() if path is not None]
            yield from (f"{name}: it has no effect unless SERVER_SSL_ENABLED is true; set that too" for name in given)
        if self.uses_files and self.tls_files is not None:
            yield from map(str, self.tls_files.problems())

    def _key_problems(self) -> Iterator[str]:
        if os.environ.get(API_KEYS) == "":
            # A secret that was not filled in would open the service to everybody.
            yield f"{API_KEYS}: it is empty; unset it to ask for no key"
        text = self.api_keys.get_secret_value() if self.api_keys else None
        for source in ((text, None), (None, self.api_keys_file if self.uses_files else None)):
            try:
                KeyRing(*source)
            except ValueError as error:
                yield from str(error).split("\n")

    def _socket_problems(self) -> Iterator[str]:
        if self.grpc_socket is None:
            return
        if len(bytes(self.grpc_socket.absolute())) > _LONGEST_SOCKET_PATH:
            yield f"LLM_GRPC_SOCKET: its absolute path has more than {_LONGEST_SOCKET_PATH} bytes; choose a shorter one"
        if self.uses_files and not self.grpc_socket.absolute().parent.is_dir():
            yield f"LLM_GRPC_SOCKET: {self.grpc_socket.absolute().parent} is no directory"


def origin_problems(origins: tuple[str, ...]) -> Iterator[str]:
    """Yields a sentence for each origin that no page can have."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            yield f"CORS_ALLOWED_ORIGINS: {origin!r} is no origin; write https://host, with :port if need be, or *"
