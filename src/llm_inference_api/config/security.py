"""Settings for TLS, API keys, CORS and limits per caller."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from llm_inference_api.config.addresses import is_loopback
from llm_inference_api.config.fields import variable as _variable
from llm_inference_api.security.api_keys import KeyRing
from llm_inference_api.security.tls import CERTIFICATE, CLIENT_CA, KEY, TlsFiles

API_KEYS = "LLM_API_KEYS"
SECRETS = ("api_keys",)
"""Fields whose values are never shown."""
LOCAL_PAGES = "localhost"
"""The item of CORS_ALLOWED_ORIGINS for pages that this machine serves, at any port."""
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#@*\s]+", re.IGNORECASE)
_HOST = re.compile(r"\*|[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?", re.IGNORECASE)
_LONGEST_SOCKET_PATH = 107
"""Bytes, without the terminating zero (unix(7), sun_path)."""


class SecuritySettings(BaseSettings):
    """TLS, API keys and limits per caller."""

    uses_files: ClassVar[bool] = False
    """Whether to check the named files; False when a configuration for another machine is rendered."""

    ssl_enabled: bool = _variable("SERVER_SSL_ENABLED", False, "Whether the REST port and the gRPC port use TLS.")
    tls_cert_path: Path | None = _variable(
        CERTIFICATE, None, "PEM file of the server's certificate, followed by the intermediate certificates."
    )
    tls_key_path: Path | None = _variable(KEY, None, "PEM file of the certificate's private key.")
    tls_client_ca_path: Path | None = _variable(
        CLIENT_CA, None, "PEM file of CA certificates. If set, clients must present a certificate of theirs (mTLS)."
    )
    api_keys: SecretStr | None = _variable(
        API_KEYS,
        None,
        "API keys, comma-separated, each as `name:key`. Callers must send one as `Authorization: Bearer`; logs show "
        "its name.",
    )
    api_keys_file: Path | None = _variable(
        "LLM_API_KEYS_FILE", None, "File with API keys, one `name:key` per line; reloaded when it changes."
    )
    public_pages: bool = _variable(
        "LLM_PUBLIC_PAGES",
        False,
        "Whether the API's description, `/openapi.json`, is served without a key when keys are set. The pages always "
        "are: they ask for one.",
    )
    max_requests_per_caller: int | None = _variable(
        "LLM_MAX_REQUESTS_PER_CALLER",
        None,
        "Maximum number of open requests per caller. A caller is identified by the name of its key, else by its client "
        "certificate's subject, else by its address.",
        ge=1,
    )
    prefix_cache_per_caller: bool = _variable(
        "LLM_PREFIX_CACHE_PER_CALLER",
        False,
        "Whether cached prefixes are separate per caller, so that no caller can find out what others have sent.",
    )
    health_port: int | None = _variable(
        "LLM_HEALTH_PORT",
        None,
        "Port for gRPC health checks only, without TLS and API key.",
        ge=1,
        le=65535,
    )
    grpc_socket: Path | None = _variable(
        "LLM_GRPC_SOCKET",
        None,
        "Unix socket on which an Envoy in another container reaches the service, without TLS; the caller's address and "
        "certificate that Envoy reports there are trusted.",
    )

    @property
    def tls_files(self) -> TlsFiles | None:
        """The certificate's files; None without TLS."""
        if not self.ssl_enabled or self.tls_cert_path is None or self.tls_key_path is None:
            return None
        return TlsFiles(self.tls_cert_path, self.tls_key_path, self.tls_client_ca_path)

    def key_ring(self) -> KeyRing:
        """Returns the API keys. Raises ValueError with one line per problem."""
        return KeyRing(self.api_keys.get_secret_value() if self.api_keys else None, self.api_keys_file)

    def exposures(self, hostnames: Iterable[str], origins: Iterable[str]) -> Iterator[str]:
        """Yields a sentence for each way in which strangers can use the service.

        Args:
            hostnames: Names and addresses that the service listens on.
            origins: Origins whose pages may call.
        """
        if not self.key_ring().is_empty:
            return
        reached = [name for name in hostnames if not is_loopback(name)]
        if reached and (self.tls_files is None or self.tls_client_ca_path is None):
            way = "LLM_API_KEYS, or LLM_INFERENCE_HOSTNAME=127.0.0.1"
            yield f"whoever reaches {', '.join(reached)} may use the service without a key; set {way}"
        if "*" in origins:
            way = "CORS_ALLOWED_ORIGINS, such as localhost, or LLM_API_KEYS"
            yield f"pages of every site may use the service from a browser that reaches it; set {way}"

    def security_problems(self) -> Iterator[str]:
        """Yields one message per problem, each beginning with the variable's name."""
        yield from self._tls_problems()
        yield from self._key_problems()
        yield from self._socket_problems()

    def _tls_problems(self) -> Iterator[str]:
        paths = {CERTIFICATE: self.tls_cert_path, KEY: self.tls_key_path, CLIENT_CA: self.tls_client_ca_path}
        if self.ssl_enabled:
            missing = [name for name in (CERTIFICATE, KEY) if paths[name] is None]
            yield from (f"{name}: required if SERVER_SSL_ENABLED is true" for name in missing)
        elif "ssl_enabled" not in self.model_fields_set:
            # A named certificate shows that the operator expects TLS.
            given = [name for name, path in paths.items() if path is not None]
            yield from (f"{name}: it has no effect unless SERVER_SSL_ENABLED is true; set that too" for name in given)
        if self.uses_files and self.tls_files is not None:
            yield from map(str, self.tls_files.problems())

    def _key_problems(self) -> Iterator[str]:
        if os.environ.get(API_KEYS) == "":
            # An unfilled secret must not disable authentication.
            yield f"{API_KEYS}: it is empty; unset it to disable authentication"
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
            yield f"LLM_GRPC_SOCKET: {self.grpc_socket.absolute().parent} is not a directory"


def origin_problems(origins: tuple[str, ...]) -> Iterator[str]:
    """Yields one message per item that is not a valid origin."""
    for origin in origins:
        if not _ORIGIN.fullmatch(origin) and origin.lower() != LOCAL_PAGES:
            hint = f"write https://host, optionally with :port, {LOCAL_PAGES} for all pages of this machine, or *"
            yield f"CORS_ALLOWED_ORIGINS: {origin!r} is not an origin; {hint}"


def host_problems(hosts: tuple[str, ...]) -> Iterator[str]:
    """Yields one message per item that is not a host name."""
    for host in hosts:
        if not _HOST.fullmatch(host):
            yield f"LLM_ALLOWED_HOSTS: {host!r} is not a host name; write it without scheme and port, or *"
