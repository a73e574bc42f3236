"""The files of an Envoy in another container, and how it reaches the service from there."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy.bootstrap import descriptor_path
from llm_inference_api.envoy.tls import EdgeTls, UpstreamTls, secrets
from llm_inference_api.envoy.upstream import parse_upstreams
from llm_inference_api.security.tls import TlsFiles

_UNIX = "unix:"


def upstream_of(settings: Settings, addresses: Sequence[str], authority: str | None) -> dict[str, Any]:
    """Returns the fields of a Sidecar that say where the service is: each `host:port`, or one `unix:` and a path.

    `authority` is the path of the PEM file with who signed the service's certificate. Raises ValueError where Envoy
    could not reach a service with these settings there.
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
        raise ValueError(f"--upstream: Envoy has no client certificate to show to a gRPC port that wants one; {better}")
    if authority is None:
        raise ValueError(f"--upstream-ca: it is needed, as the gRPC port speaks TLS; {better}")
    return UpstreamTls(authority, tuple(sorted(hosts)))


def tls_of(settings: Settings, directory: str) -> EdgeTls | None:
    """Returns how the settings want clients to connect; the secrets' files are in the directory."""
    if settings.tls_files is None:
        return None
    return EdgeTls(directory, needs_client_certificate=settings.tls_client_ca_path is not None)


def write_files(directory: Path, rendered: str, tls: TlsFiles | None) -> None:
    """Writes all that Envoy reads: the bootstrap, the descriptor set, and the secrets' files."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "bootstrap.json"
    path.touch(mode=0o640)  # It may hold the collector's headers.
    path.write_text(rendered)
    shutil.copyfile(descriptor_path(), directory / "descriptor.pb")
    for name, content in (secrets(tls) if tls else {}).items():
        (directory / name).write_text(content)
