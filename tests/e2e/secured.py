"""Services with TLS and keys, and how to talk to them."""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from llm_inference_api.rpc.health import PRELOADED
from tests.e2e.service import RunningService, run_service
from tests.fakes.certificates import Authority, Pair
from tests.fakes.ports import free_port

TINY = "llm_inference.v1.InferenceService/tiny"
"""The health name of the model that tests load."""


@contextmanager
def run_secured(
    directory: Path, model_path: Path, *, options: Sequence[str] = (), **variables: str
) -> Iterator[RunningService]:
    """Yields a service whose model is in memory; that is found out on its port for health checks."""
    health_port = str(free_port())
    models = {"LLM_ALLOWED_MODELS": "tiny=tiny.gguf", "LLM_HEALTH_PORT": health_port}
    with run_service(directory, model_path, wait=False, options=options, **{**models, **variables}) as running:
        _wait(running, f"127.0.0.1:{variables.get('LLM_HEALTH_PORT', health_port)}")
        yield running


def tls_variables(pair: Pair, client_ca: Path | None = None) -> dict[str, str]:
    """Returns the variables of a service with this certificate."""
    clients = {"TLS_CLIENT_CA_PATH": str(client_ca)} if client_ca else {}
    files = {"TLS_SERVER_CERT_PATH": str(pair.certificate), "TLS_SERVER_KEY_PATH": str(pair.key)}
    return {"SERVER_SSL_ENABLED": "true", **files, **clients}


def https(service: RunningService, authority: Authority, client: Pair | None = None) -> httpx.Client:
    """Returns a REST client that trusts the authority."""
    context = ssl.create_default_context(cafile=str(authority.path))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return httpx.Client(base_url=f"https://localhost:{service.rest_port}", verify=context, timeout=60)


def secure_channel(port: int, authority: Authority, client: Pair | None = None) -> grpc.Channel:
    """Returns a gRPC channel that trusts the authority."""
    own = (client.key.read_bytes(), client.certificate.read_bytes()) if client else ()
    return grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(authority.path.read_bytes(), *own))


def is_serving(channel: grpc.Channel, name: str = "") -> bool:
    """Returns whether the service says SERVING of the name. Raises grpc.RpcError."""
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Returns when the condition holds; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it does not hold after {seconds} s"
        time.sleep(0.05)


def _wait(service: RunningService, address: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    with grpc.insecure_channel(address) as channel:
        while True:
            assert service.process.poll() is None, f"the service ended:\n{service.log()}"
            assert time.monotonic() < deadline, f"not ready within {seconds} s:\n{service.log()}"
            try:
                if is_serving(channel, TINY) and is_serving(channel, PRELOADED):
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.05)
