"""Checks of Envoy, of the ports and of the hub."""

import socket
from collections.abc import Iterator

import pytest

from llm_inference_api.cli.checks import network
from llm_inference_api.config.settings import Settings
from tests.e2e.service import RunningService
from tests.fakes.ports import free_port


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_envoy_says_its_version() -> None:
    """That of the package."""
    (finding,) = network.envoy(Settings())
    assert (finding.verdict, finding.says.count(".")) == ("ok", 2)


def test_free_ports_are_fine() -> None:
    """Those that are not set are left out."""
    found = [*network.ports(Settings(hostname="127.0.0.1", port=free_port(), grpc_port=free_port()))]
    assert [finding.verdict for finding in found] == ["ok", "ok"]


def test_port_of_another_program_is_a_problem(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that names another is shown."""
    monkeypatch.setattr(network, "_SECONDS", 0.2)
    taken = listener.getsockname()[1]
    found = [*network.ports(Settings(hostname="127.0.0.1", port=taken, grpc_port=free_port()))]
    assert [finding.verdict for finding in found] == ["problem", "ok"]
    assert "LLM_INFERENCE_PORT" in found[0].todo


def test_ports_of_a_running_service_are_fine(service: RunningService) -> None:
    """It answers there, to REST's port as well."""
    ports = {"port": int(service.url.rpartition(":")[2]), "grpc_port": int(service.address.rpartition(":")[2])}
    found = [*network.ports(Settings(hostname="127.0.0.1", **ports))]
    assert {(finding.verdict, finding.says) for finding in found} == {("ok", "a service that is alive listens there")}


def test_hub_is_asked_by_its_address(listener: socket.socket) -> None:
    """A connection suffices; nothing is sent."""
    (finding,) = network.hub(
        Settings(hf_endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}", hf_hub_offline=False)
    )
    assert finding.verdict == "ok"


def test_hub_that_does_not_answer_is_no_problem() -> None:
    """Files that are here are served."""
    (finding,) = network.hub(Settings(hf_endpoint=f"http://127.0.0.1:{free_port()}", hf_hub_offline=False))
    assert (finding.verdict, "HF_HUB_OFFLINE" in finding.todo) == ("advice", True)


def test_hub_is_not_asked_where_the_service_does_not() -> None:
    """As `HF_HUB_OFFLINE` says."""
    (finding,) = network.hub(Settings(hf_hub_offline=True, hf_endpoint="http://127.0.0.1:1"))
    assert (finding.verdict, "not asked" in finding.says) == ("ok", True)
