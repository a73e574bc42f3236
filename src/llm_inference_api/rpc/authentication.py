"""Authentication and identification of callers."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import grpc.aio

from llm_inference_api import headers
from llm_inference_api.errors import UnauthenticatedError
from llm_inference_api.security.api_keys import KeyRing

Context = grpc.aio.ServicerContext[Any, Any]
Metadata = Iterable[tuple[str, str | bytes]]

HEALTH = "/grpc.health.v1.Health/"
"""Prefix of the health methods, which need no key because probes cannot send one."""
_SCHEME = "bearer"
_ENVOY = "unix:"
"""Prefix of gRPC's peer name for Unix sockets. Only Envoy connects through one; its forwarded headers are trusted."""


class Authenticator:
    """Checks API keys. Without configured keys, all callers are admitted."""

    def __init__(self, keys: KeyRing, public: Iterable[str] = ()) -> None:
        """Creates an authenticator.

        Args:
            keys: The valid API keys.
            public: Method prefixes that need no key, in addition to the health service.
        """
        self._keys = keys
        self._public = (HEALTH, *public)

    def check(self, method: str, metadata: Metadata | None) -> None:
        """Raises UnauthenticatedError if the method needs a key and the metadata contain no valid one."""
        if self._keys.is_empty or method.startswith(self._public):
            return
        token = _token(metadata)
        if token is None:
            raise UnauthenticatedError("an API key is needed: send it as Authorization: Bearer <key>")
        if self._keys.name_of(token) is None:
            raise UnauthenticatedError("the API key is not valid")

    def caller(self, context: Context) -> str:
        """Returns the API key's name, else the client certificate's subject, else the address without its port."""
        metadata: Metadata = context.invocation_metadata() or ()
        token = _token(metadata)
        name = self._keys.name_of(token) if token and not self._keys.is_empty else None
        return name or _subject(context, metadata) or address(context)


def address(context: Context) -> str:
    """Returns the caller's address without its port; for calls through Envoy, the address that Envoy reports."""
    peer = context.peer()
    if peer.startswith(_ENVOY):
        return _value(context.invocation_metadata() or (), headers.CALLER_ADDRESS) or "envoy"
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


def _subject(context: Context, metadata: Metadata) -> str | None:
    if context.peer().startswith(_ENVOY):
        forwarded = _value(metadata, headers.CLIENT_CERTIFICATE).rpartition(",")[2]
        pem = unquote(forwarded.partition('Cert="')[2].partition('"')[0])
    else:
        pem = b"".join(context.auth_context().get("x509_pem_cert", ())).decode()
    return _subject_of(pem) if pem else None


@lru_cache(maxsize=1024)
def _subject_of(pem: str) -> str:
    from llm_inference_api.security.pem import subject_of  # noqa: PLC0415 - cryptography is needed with TLS only

    return subject_of(pem)


def _token(metadata: Metadata | None) -> str | None:
    """Returns the key that the caller has sent, as a bearer token or as Anthropic's clients do; None for none."""
    scheme, _, token = _value(metadata or (), headers.AUTHORIZATION).strip().partition(" ")
    if scheme.lower() == _SCHEME and token.strip():
        return token.strip()
    return _value(metadata or (), headers.API_KEY).strip() or None


def _value(metadata: Metadata, name: str) -> str:
    values = [value for key, value in metadata if key == name and isinstance(value, str)]
    return values[-1] if values else ""
