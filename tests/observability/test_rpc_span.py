import pytest
from opentelemetry.sdk.trace import TracerProvider

from llm_inference_api.observability import rpc_span

METHOD = "/llm_inference.v1.InferenceService/Chat"


@pytest.mark.parametrize(
    ("peer", "attributes"),
    [
        ("ipv4:10.1.2.3:4567", {"net.peer.ip": "10.1.2.3", "net.peer.port": "4567"}),
        ("ipv4:127.0.0.1:80", {"net.peer.ip": "127.0.0.1", "net.peer.port": "80", "net.peer.name": "localhost"}),
        ("ipv6:%5B::1%5D:80", {"net.peer.ip": "[::1]", "net.peer.port": "80", "net.peer.name": "localhost"}),
        ("ipv6:%5B2001:db8::1%5D:80", {"net.peer.ip": "[2001:db8::1]", "net.peer.port": "80"}),
        ("unix:", {}),
    ],
)
def test_peer_is_an_address_and_a_port(peer: str, attributes: dict[str, str]) -> None:
    """Envoy comes through a Unix socket, which has neither."""
    span = rpc_span.begin(TracerProvider().get_tracer("test"), METHOD, {}, peer, "r1")._recorded
    found = {name: value for name, value in span.attributes.items() if name.startswith("net.")}  # type: ignore[attr-defined]
    assert found == attributes
