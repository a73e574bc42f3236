"""What a client's channel is made of."""

import json
import tomllib
from pathlib import Path

import pytest

from llm_inference_client import channel
from tools.generate import PROJECT


@pytest.mark.parametrize(
    ("address", "is_direct"),
    [
        ("localhost:50051", True),
        ("127.0.0.1:50051", True),
        ("[::1]:50051", True),
        ("unix:/run/service.sock", True),
        ("dns:///localhost:50051", True),
        ("example.org:50051", False),
        ("10.0.0.1:50051", False),
        ("dns:///replicas:50051", False),
    ],
)
def test_no_proxy_stands_before_this_machine(address: str, *, is_direct: bool) -> None:
    assert (("grpc.enable_http_proxy", 0) in channel.channel_options(address, ())) is is_direct


def test_given_option_takes_the_place_of_the_clients_own() -> None:
    options = dict(channel.channel_options("a:1", [("grpc.keepalive_time_ms", 5), ("grpc.x", 1)]))
    assert (options["grpc.keepalive_time_ms"], options["grpc.x"]) == (5, 1)


def test_longest_answer_of_the_service_fits() -> None:
    from llm_inference_api.server import GRPC_OPTIONS  # noqa: PLC0415

    received = dict(channel.channel_options("a:1", ()))["grpc.max_receive_message_length"]
    assert received == dict(GRPC_OPTIONS)["grpc.max_send_message_length"]


def test_documented_service_config_is_the_clients() -> None:
    text = (PROJECT / "docs/deployment.md").read_text()
    blocks = (part.split("```")[0] for part in text.split("```json\n")[1:])
    assert channel.SERVICE_CONFIG in [json.loads(block) for block in blocks if "loadBalancingConfig" in block]


def test_version_is_the_services() -> None:
    versions = {_version(PROJECT / "pyproject.toml"), _version(PROJECT / "client/pyproject.toml"), channel.VERSION}
    assert len(versions) == 1


def _version(path: Path) -> str:
    return str(tomllib.loads(path.read_text())["project"]["version"])


def test_certificates_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"ca")
    assert channel.Tls.from_files(tmp_path / "ca.pem") == channel.Tls(b"ca")
    with pytest.raises(FileNotFoundError):
        channel.Tls.from_files(tmp_path / "none.pem")
