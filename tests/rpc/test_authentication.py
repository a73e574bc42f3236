from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from llm_inference_api.errors import UnauthenticatedError
from llm_inference_api.rpc.authentication import Authenticator, address
from llm_inference_api.security.api_keys import KeyRing
from tests.fakes.certificates import Authority

CHAT = "/llm_inference.v1.InferenceService/Chat"
PAGES = "/llm_inference.web.v1.PageService/"
ENVOY = "unix:"


@dataclass
class FakeContext:
    """What gRPC knows of a call."""

    peer_name: str = "ipv4:10.1.2.3:4567"
    metadata: dict[str, str] = field(default_factory=dict)
    certificate: bytes | None = None

    def peer(self) -> str:
        return self.peer_name

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.metadata.items())

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": [self.certificate]} if self.certificate else {}


def authenticator(keys: str | None = "ann:first-key", public: tuple[str, ...] = ()) -> Authenticator:
    return Authenticator(KeyRing(keys, None), public)


@pytest.mark.parametrize("header", ["Bearer first-key", "bearer first-key", "BEARER  first-key "])
def test_valid_key_opens_every_method(header: str) -> None:
    """The scheme's case and the spaces around the key mean nothing (RFC 9110, 11.1)."""
    authenticator().check(CHAT, [("authorization", header)])


def test_key_may_come_as_anthropics_clients_send_it() -> None:
    """A bearer token beside it counts first."""
    authenticator().check(CHAT, [("x-api-key", "first-key")])
    with pytest.raises(UnauthenticatedError):
        authenticator().check(CHAT, [("x-api-key", "wrong")])
    with pytest.raises(UnauthenticatedError):
        authenticator().check(CHAT, [("authorization", "Bearer wrong"), ("x-api-key", "first-key")])


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic first-key", "first-key"])
@pytest.mark.parametrize(
    "method",
    [CHAT, "/llm_inference.web.v1.OperationsService/GetMetrics", "/grpc.reflection.v1alpha.X/Y", "/no.Such/Method"],
)
def test_everything_else_is_refused(header: str | None, method: str) -> None:
    """Without a valid key nothing opens: not the metrics, not reflection, not what does not exist."""
    metadata = [] if header is None else [("authorization", header)]
    with pytest.raises(UnauthenticatedError):
        authenticator().check(method, metadata)


def test_health_never_needs_a_key() -> None:
    """Kubernetes' probes cannot show one."""
    for method in ("Check", "Watch", "List"):
        authenticator().check(f"/grpc.health.v1.Health/{method}", [])


def test_pages_need_no_key_where_they_are_public() -> None:
    """A list of names decides, not the method."""
    authenticator(public=(PAGES,)).check(f"{PAGES}GetPage", [])
    with pytest.raises(UnauthenticatedError):
        authenticator().check(f"{PAGES}GetPage", [])


def test_without_keys_everybody_may_call() -> None:
    """A key that somebody sends all the same, as OpenAI's clients must, is passed over."""
    authenticator(None).check(CHAT, [("authorization", "Bearer none")])


@pytest.mark.parametrize(
    ("peer", "expected"),
    [("ipv4:10.1.2.3:4567", "10.1.2.3"), ("ipv6:%5B2001:db8::1%5D:80", "2001:db8::1"), ("ipv6:[::1]:80", "::1")],
)
def test_address_is_the_peers_without_its_port(peer: str, expected: str) -> None:
    """One caller has many connections."""
    assert address(FakeContext(peer)) == expected  # type: ignore[arg-type]


def test_what_envoy_says_is_believed_of_envoy_only() -> None:
    """A caller on the gRPC port cannot pass for another one."""
    forged = {"x-caller-address": "6.6.6.6", "x-forwarded-client-cert": 'Cert="x"'}
    assert authenticator(None).caller(FakeContext(metadata=forged)) == "10.1.2.3"  # type: ignore[arg-type]
    assert authenticator(None).caller(FakeContext(ENVOY, {"x-caller-address": "10.9.9.9"})) == "10.9.9.9"  # type: ignore[arg-type]


def test_caller_is_named_by_the_certificate_at_both_doors(tmp_path: Path) -> None:
    """gRPC hands the certificate over itself; Envoy sends it in a header."""
    pem = Authority(tmp_path).client("ann").certificate.read_bytes()
    direct = FakeContext(certificate=pem)
    forwarded = FakeContext(ENVOY, {"x-forwarded-client-cert": f'Cert="{quote(pem.decode(), safe="")}"'})
    names = {authenticator(None).caller(context) for context in (direct, forwarded)}  # type: ignore[arg-type]
    assert len(names) == 1
    assert "CN=ann" in names.pop()


def test_caller_is_named_by_the_key_first(tmp_path: Path) -> None:
    """A key says more than the machine that it comes from."""
    pem = Authority(tmp_path).client("bob").certificate.read_bytes()
    context = FakeContext(metadata={"authorization": "Bearer first-key"}, certificate=pem)
    assert authenticator().caller(context) == "ann"  # type: ignore[arg-type]
