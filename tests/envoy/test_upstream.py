"""The addresses that people write."""

from typing import Any

import pytest

from llm_inference_api.envoy.replicas import are_replicas
from llm_inference_api.envoy.sidecar import Sidecar
from llm_inference_api.envoy.upstream import Upstream, UpstreamError, parse_upstreams


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("127.0.0.1:50051", Upstream("127.0.0.1", 50051)),
        ("[::1]:50051", Upstream("::1", 50051)),
        ("llm-headless.default.svc.cluster.local.:1", Upstream("llm-headless.default.svc.cluster.local.", 1)),
        ("my_service:65535", Upstream("my_service", 65535)),
    ],
)
def test_address_is_read(text: str, upstream: Upstream) -> None:
    """Addresses, names, and IPv6 in brackets."""
    assert parse_upstreams([text]) == (upstream,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no port"),
        ("service", "write host:port, such as service:50051"),
        (":50051", "no port"),
        ("service:", "between 1 and 65535"),
        ("service:0", "between 1 and 65535"),
        ("service:99999", "between 1 and 65535"),
        ("service:grpc", "between 1 and 65535"),
        ("http://service:50051", "without http://"),
        ("::1:50051", "in brackets"),
        ("[::g]:50051", "IPv6"),
        ("two words:50051", "neither an address nor a host name"),
        ("a,b:50051", "neither an address nor a host name"),
        ("unix:/run/llm.sock", "replicas must each be host:port"),
        ("bücher:50051", "neither an address nor a host name"),
    ],
)
def test_what_is_no_address_is_refused(text: str, says: str) -> None:
    """The sentence says what would be right."""
    with pytest.raises(UpstreamError, match=says):
        parse_upstreams([text])


def test_all_problems_are_named_at_once() -> None:
    """Nobody mends one address to learn of the next."""
    with pytest.raises(UpstreamError, match=r"'a:x'.*'b'.*'c:1' is given twice"):
        parse_upstreams(["a:x", "b", "c:1", "c:1"])


@pytest.mark.parametrize(
    ("fields", "several"),
    [
        ({"upstreams": parse_upstreams(["127.0.0.1:1"])}, False),
        ({"upstreams": parse_upstreams(["localhost:1"])}, False),
        ({"upstreams": parse_upstreams(["[::1]:1"])}, False),
        ({"upstream_socket": "/run/llm.sock"}, False),
        ({"upstreams": parse_upstreams(["llm-headless:1"])}, True),
        ({"upstreams": parse_upstreams(["127.0.0.1:1", "127.0.0.1:2"])}, True),
    ],
)
def test_names_and_several_addresses_are_replicas(fields: dict[str, Any], several: bool) -> None:  # noqa: FBT001
    """One address is a sidecar's service; a name may stand for many."""
    assert are_replicas(Sidecar(**fields)) is several
