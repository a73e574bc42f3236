"""What `--address` may say."""

import pytest

from llm_inference_api.cli.address import parse_address
from llm_inference_api.errors import StartError


@pytest.mark.parametrize(
    ("text", "target", "tls"),
    [
        ("localhost:50051", "localhost:50051", None),
        (" localhost:50051\n", "localhost:50051", None),
        ("example.org", "example.org:50051", None),
        ("http://localhost:8091", "localhost:8091", False),
        ("http://localhost:8091/", "localhost:8091", False),
        ("HTTPS://example.org", "example.org:443", True),
        ("http://example.org", "example.org:80", False),
        ("https://example.org:8443", "example.org:8443", True),
        ("[::1]:50051", "[::1]:50051", None),
        ("::1", "[::1]:50051", None),
        ("https://[::1]", "[::1]:443", True),
        ("unix:/run/service.sock", "unix:/run/service.sock", None),
        ("dns:///example.org:50051", "dns:///example.org:50051", None),
    ],
)
def test_addresses_are_understood(text: str, target: str, tls: bool | None) -> None:  # noqa: FBT001
    """URLs, hosts without a port and gRPC's own names too."""
    assert parse_address(text) == (target, tls)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://localhost:8091/v1", "it has a path"),
        ("localhost:8091/api", "it has a path"),
        ("ftp://localhost", "ftp:// is not known here"),
        ("localhost:port", "its port is not a number"),
        ("localhost:70000", "its port is not a number"),
        ("localhost:0", "its port is not a number"),
        ("http://", "it names no host"),
        ("two words:1", "it names no host"),
        ("", "it names no host"),
        ("https://ann:secret@example.org", "LLM_API_KEY is the key to send"),
    ],
)
def test_other_addresses_are_refused_with_what_would_be_right(text: str, problem: str) -> None:
    """Before a resolver sees them; a password is not repeated."""
    with pytest.raises(StartError, match=f"--address: .*{problem}") as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)
