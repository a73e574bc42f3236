"""TLS and mTLS, through Envoy and directly."""

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from llm_inference.v1 import inference_pb2, models_pb2
from tests.e2e.secured import https, is_serving, run_secured, secure_channel, tls_variables, wait_until
from tests.e2e.service import RunningService, inference, models
from tests.fakes.certificates import Authority, Pair

ASK = {"prompt": "Hello", "max_tokens": 4}
PORTS = ("rest_port", "grpc_port")
"""gRPC goes through Envoy on the one, and directly on the other."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who signs the certificates of service and clients."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    """The certificate of a caller."""
    return authority.client("ann")


@pytest.fixture(scope="module")
def tls(
    tmp_path_factory: pytest.TempPathFactory, model_directory: Path, authority: Authority
) -> Iterator[RunningService]:
    """A service with TLS."""
    variables = tls_variables(authority.server())
    with run_secured(tmp_path_factory.mktemp("tls"), model_directory, **variables) as running:
        yield running


@pytest.fixture(scope="module")
def mtls(
    tmp_path_factory: pytest.TempPathFactory, model_directory: Path, authority: Authority
) -> Iterator[RunningService]:
    """A service that wants a certificate of its clients."""
    variables = tls_variables(authority.server("mtls"), authority.path)
    with run_secured(tmp_path_factory.mktemp("mtls"), model_directory, **variables) as running:
        yield running


def generate(channel: grpc.Channel) -> str:
    answer = inference(channel).Generate(inference_pb2.GenerateRequest(**ASK), timeout=20)
    return str(answer.finish_reason)


def handshake(port: int, context: ssl.SSLContext) -> str | None:
    """Returns the protocol version that both agree on. Raises ssl.SSLError or ConnectionError where they do not."""
    with (
        socket.create_connection(("localhost", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        return secure.version()


def test_rest_and_streams_speak_tls(tls: RunningService, authority: Authority) -> None:
    """REST and its streams work as without it."""
    with https(tls, authority) as http:
        assert http.post("/api/generate", json=ASK).status_code == 200
        events = http.post("/api/generate/stream", json=ASK).text
    assert events.startswith("data: {")


@pytest.mark.parametrize("port", PORTS)
def test_grpc_speaks_tls(tls: RunningService, authority: Authority, port: str) -> None:
    """Both doors of gRPC have the same certificate."""
    with secure_channel(getattr(tls, port), authority) as channel:
        assert generate(channel)


@pytest.mark.parametrize("port", PORTS)
def test_plain_text_is_refused(tls: RunningService, port: str) -> None:
    """Nobody talks to a service with TLS without it."""
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{getattr(tls, port)}/api/llms", timeout=5)


@pytest.mark.parametrize("port", PORTS)
def test_certificate_of_another_authority_is_not_accepted(tls: RunningService, tmp_path: Path, port: str) -> None:
    """A client that trusts somebody else says so."""
    with secure_channel(getattr(tls, port), Authority(tmp_path)) as channel, pytest.raises(grpc.RpcError) as error:
        generate(channel)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_versions_of_tls_are_spoken(
    tls: RunningService, authority: Authority, port: str, version: ssl.TLSVersion
) -> None:
    """TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(authority.path))
    context.set_alpn_protocols(["h2"])
    context.minimum_version = context.maximum_version = version
    assert handshake(getattr(tls, port), context) == version.name.replace("_", ".")


@pytest.mark.filterwarnings("ignore:.*TLSv1_1 is deprecated")
@pytest.mark.parametrize("port", PORTS)
def test_older_versions_are_refused(tls: RunningService, authority: Authority, port: str) -> None:
    """TLS 1.1 and before can be broken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(authority.path))
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(getattr(tls, port), context)


def test_health_port_speaks_no_tls(tls: RunningService, mtls: RunningService) -> None:
    """Probes that know neither TLS nor certificates reach health there, and nothing else."""
    for service in (tls, mtls):
        with grpc.insecure_channel(f"127.0.0.1:{service.health_port}") as channel:
            assert is_serving(channel)
            with pytest.raises(grpc.RpcError) as error:
                generate(channel)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_client_with_a_certificate_is_served(mtls: RunningService, authority: Authority, client: Pair) -> None:
    """mTLS works at both doors, and the log says whose certificate it was."""
    with https(mtls, authority, client) as http:
        assert http.post("/api/generate", json=ASK).status_code == 200
    for port in PORTS:
        with secure_channel(getattr(mtls, port), authority, client) as channel:
            assert generate(channel)
    assert mtls.log().count("CN=ann") >= 3


@pytest.mark.parametrize("port", PORTS)
def test_client_without_a_certificate_is_refused(mtls: RunningService, authority: Authority, port: str) -> None:
    """No certificate, no answer; not even of health."""
    with secure_channel(getattr(mtls, port), authority) as channel, pytest.raises(grpc.RpcError) as error:
        is_serving(channel)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("port", PORTS)
def test_client_of_another_authority_is_refused(
    mtls: RunningService, authority: Authority, tmp_path: Path, port: str
) -> None:
    """A certificate that somebody else has signed is none."""
    stranger = Authority(tmp_path).client("stranger")
    with secure_channel(getattr(mtls, port), authority, stranger) as channel, pytest.raises(grpc.RpcError) as error:
        is_serving(channel)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE


def test_rest_client_without_a_certificate_is_refused(mtls: RunningService, authority: Authority) -> None:
    """REST has no other door."""
    with https(mtls, authority) as http, pytest.raises(httpx.HTTPError):
        http.get("/health/live")


def test_renewed_certificate_is_picked_up_without_dropping_streams(
    tmp_path: Path, model_directory: Path, authority: Authority
) -> None:
    """Streams of before go on at both doors, and new connections see the new certificate."""
    pair = authority.server("renewed")
    with (
        run_secured(tmp_path, model_directory, **tls_variables(pair)) as service,
        https(service, authority) as http,
        secure_channel(service.grpc_port, authority) as channel,
        http.stream("GET", "/api/llms/tiny:watch") as rest,
    ):
        events = (json.loads(line.removeprefix("data: "))["model"]["state"] for line in rest.iter_lines() if line)
        watch = models(channel).WatchModel(models_pb2.WatchModelRequest(model="tiny"), timeout=60)
        assert (next(events), next(watch).model.state) == ("ACTIVE", models_pb2.Model.ACTIVE)
        before = {port: seen(service, port) for port in PORTS}
        authority.server("renewed")
        wait_until(lambda: all(seen(service, port) != before[port] for port in PORTS))
        assert seen(service, "rest_port") == seen(service, "grpc_port")
        with https(service, authority) as later:
            assert later.post("/api/llms/tiny:unload").status_code == 200
        assert "UNLOADED" in events
        assert models_pb2.Model.UNLOADED in (part.model.state for part in watch)


def seen(service: RunningService, port: str) -> str:
    """Returns the certificate that the port shows now."""
    return ssl.get_server_certificate(("localhost", getattr(service, port)), timeout=5)
