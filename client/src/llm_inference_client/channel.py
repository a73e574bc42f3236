"""Where a client connects to, and what belongs to each of its calls."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import grpc

from llm_inference_client.errors import ServiceError

VERSION = "0.1.0"
TIMEOUT = 300.0
"""Seconds of the deadline of a call for which no other is given."""
CONNECT_TIMEOUT = 10.0
"""Seconds in which a service must answer when a client connects."""
ENDLESS = tuple(
    f"/llm_inference.v1.ModelService/{method}" for method in ("WatchModel", "LoadModel", "DownloadModel", "UnloadModel")
)
"""Methods without a deadline of their own: they last as long as their caller listens, a download, or other callers'
requests."""
_SERVICES = (
    *("InferenceService", "EmbeddingService", "RankingService", "ScoreService", "DecisionService", "TokenService"),
    "ModelService",
)
_MESSAGE_BYTES = 16 << 20
"""Limit of a message of the service; gRPC's own for what is received is 4 MiB."""

Metadata = Sequence[tuple[str, str | bytes]]

SERVICE_CONFIG: dict[str, Any] = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "preloaded"},
    "methodConfig": [
        {
            "name": [{"service": f"llm_inference.v1.{service}"} for service in _SERVICES],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
"""gRPC's service config (https://grpc.io/docs/guides/service-config): calls go to replicas that are ready; one that was
refused before anything of its answer came is tried again elsewhere."""


def service_config(*, wait_for_ready: bool) -> dict[str, Any]:
    """Returns `SERVICE_CONFIG`, or one by which calls go to whatever answers, and fail at once where nothing does."""
    if wait_for_ready:
        return SERVICE_CONFIG
    unready = {name: value for name, value in SERVICE_CONFIG.items() if name != "healthCheckConfig"}
    return unready | {"methodConfig": [each | {"waitForReady": False} for each in SERVICE_CONFIG["methodConfig"]]}


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates, in PEM form."""

    authority: bytes | None = None
    """The CA of the service's certificate; None for gRPC's default roots."""
    certificate: bytes | None = None
    """The client's own certificate, where the service asks for one."""
    key: bytes | None = None
    """The certificate's private key."""

    @classmethod
    def from_files(
        cls, authority: str | Path | None = None, certificate: str | Path | None = None, key: str | Path | None = None
    ) -> Self:
        """Reads the files. Raises OSError if one cannot be read."""
        return cls(*(None if path is None else Path(path).read_bytes() for path in (authority, certificate, key)))

    @property
    def credentials(self) -> grpc.ChannelCredentials:
        """The credentials of a channel."""
        return grpc.ssl_channel_credentials(self.authority, self.key, self.certificate)


def credentials_of(tls: bool | Tls) -> grpc.ChannelCredentials | None:  # noqa: FBT001 - True: gRPC's default roots
    """Returns the credentials of a channel; None for one without TLS."""
    if not tls:
        return None
    return (Tls() if tls is True else tls).credentials


HEALTH_CHECK = "/grpc.health.v1.Health/Check"
"""The method that tells why no service answers; its request may be empty."""
CAUSE_TIMEOUT = 1.0
"""Seconds in which it must tell."""


def unanswered(error: ServiceError) -> ServiceError | None:
    """Returns the error of that method if it means that no service answers; others come from a service."""
    return error if error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) else None


def unreachable(address: str, cause: ServiceError) -> ServiceError:
    """Returns the error of an address where no service answers that is ready, with the reason if there is one."""
    text = f"no service that is ready answers at {address}"
    if cause.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServiceError(grpc.StatusCode.UNAVAILABLE, f"{text}: it does not answer in time", reason="NO_ANSWER")
    meaning = f": {cause.message}" if cause.reason else ""
    return ServiceError(grpc.StatusCode.UNAVAILABLE, f"{text}{meaning}", reason=cause.reason)


@dataclass(frozen=True, slots=True)
class Calls:
    """What belongs to each call."""

    key: str | None
    timeout: float | None

    def deadline(self, method: str, timeout: float | None) -> float | None:
        """Returns the seconds that a call may take; None for any time."""
        return timeout if timeout is not None or method in ENDLESS else self.timeout

    def metadata(self, given: Metadata | None) -> list[tuple[str, str | bytes]]:
        """Returns the call's metadata with the key and, where OpenTelemetry is in use, the current trace context."""
        metadata = list(given or ())
        names = {name for name, _ in metadata}
        if self.key and "authorization" not in names:
            metadata.append(("authorization", f"Bearer {self.key}"))
        metadata += [(name, value) for name, value in _trace_context().items() if name not in names]
        return metadata


def channel_options(
    address: str, extra: Sequence[tuple[str, Any]], *, wait_for_ready: bool = True
) -> list[tuple[str, Any]]:
    """Returns the options of a channel to the address; later ones take the place of earlier ones."""
    options: dict[str, Any] = {
        "grpc.service_config": json.dumps(service_config(wait_for_ready=wait_for_ready)),
        "grpc.max_receive_message_length": _MESSAGE_BYTES,
        # A connection that died without a word is noticed within 80 seconds.
        "grpc.keepalive_time_ms": 60_000,
        "grpc.keepalive_timeout_ms": 20_000,
        "grpc.primary_user_agent": f"llm-inference-api-client/{VERSION}",
    }
    if _is_loopback(address):
        options["grpc.enable_http_proxy"] = 0
    return list((options | dict(extra)).items())


def _is_loopback(address: str) -> bool:
    """Returns whether the address is this machine's own, which no proxy reaches."""
    host = address.rsplit("/", 1)[-1].rpartition(":")[0].strip("[]")
    if host == "localhost" or address.startswith("unix:"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _trace_context() -> Mapping[str, str]:
    """Returns the headers of the current span (https://www.w3.org/TR/trace-context), where there is one."""
    if "opentelemetry.trace" not in sys.modules:
        return {}
    from opentelemetry import propagate  # type: ignore[import-not-found,unused-ignore]

    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
