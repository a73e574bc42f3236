"""Files and upstream of an Envoy that runs in another container."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy.sidecar import descriptor_path
from llm_inference_api.envoy.tls import EdgeTls, UpstreamTls, secrets
from llm_inference_api.envoy.upstream import parse_upstreams
from llm_inference_api.security.tls import TlsFiles

_UNIX = "unix:"


def upstream_of(settings: Settings, addresses: Sequence[str], authority: str | None) -> dict[str, Any]:
    """Returns the upstream fields of a Sidecar.

    Args:
        settings: Settings of the service.
        addresses: One or more `host:port`, or one `unix:` and a path.
        authority: Path of the PEM file with the CA of the service's certificate.

    Raises:
        ValueError: An address is invalid, or Envoy could not connect to it with these settings.
    """
    if len(addresses) == 1 and addresses[0].startswith(_UNIX):
        return {"upstream_socket": addresses[0].removeprefix(_UNIX)}
    upstreams = parse_upstreams(addresses)
    where: dict[str, Any] = {"upstreams": upstreams}
    if settings.ssl_enabled:
        where["upstream_tls"] = _upstream_tls(settings, {upstream.host for upstream in upstreams}, authority)
    return where


def _upstream_tls(settings: Settings, hosts: set[str], authority: str | None) -> UpstreamTls:
    better = "or set LLM_GRPC_SOCKET, and --upstream to unix: and its path"
    if settings.tls_client_ca_path is not None:
        raise ValueError(f"--upstream: the gRPC port requires a client certificate, which Envoy lacks; {better}")
    if authority is None:
        raise ValueError(f"--upstream-ca: required, as the gRPC port uses TLS; {better}")
    return UpstreamTls(authority, tuple(sorted(hosts)))


def tls_of(settings: Settings, directory: str) -> EdgeTls | None:
    """Returns the listener's TLS configuration; None without TLS. `directory` holds the files of `secrets`."""
    if settings.tls_files is None:
        return None
    return EdgeTls(directory, needs_client_certificate=settings.tls_client_ca_path is not None)


def write_files(directory: Path, rendered: str, tls: TlsFiles | None) -> None:
    """Writes all files that Envoy reads: the bootstrap, the descriptor set and the files of `secrets`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "bootstrap.json"
    path.touch(mode=0o640)  # The collector's headers may contain a secret.
    path.write_text(rendered)
    shutil.copyfile(descriptor_path(), directory / "descriptor.pb")
    for name, content in (secrets(tls) if tls else {}).items():
        (directory / name).write_text(content)
