"""Addresses that the service listens on."""

import errno
import socket
from typing import Any

import pytest

from llm_inference_api.network import addresses_of, is_unspecified, listed, spare_loopback


def resolver(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Makes every name stand for these addresses of IPv4."""
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **named: Any) -> Any:
        if host != "name.example":
            return real(host, *rest, **named)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_name_stands_for_the_addresses_that_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once; another machine's (RFC 5737) is left out."""
    resolver(monkeypatch, "127.0.0.1", "192.0.2.1", "127.0.0.2", "127.0.0.1")
    assert addresses_of("name.example") == ("127.0.0.1", "127.0.0.2")


def test_name_of_another_machine_has_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is the error of binding to it."""
    resolver(monkeypatch, "192.0.2.1")
    with pytest.raises(OSError, match="assign") as caught:
        addresses_of("name.example")
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "192.0.2.1"])
def test_address_is_taken_as_it_is(address: str) -> None:
    """Whose it is, its use finds out."""
    assert addresses_of(address) == (address,)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "0::0"])
def test_address_of_all_is_known_however_it_is_written(address: str) -> None:
    """Of both families."""
    assert is_unspecified(address)
    assert not is_unspecified("::1")
    assert not is_unspecified("name.example")


def test_list_has_each_item_once() -> None:
    """White space and empty items do not count."""
    assert listed(" a, b ,,a") == ("a", "b")


def test_proxy_is_not_for_this_machine() -> None:
    """Other hosts that were spared stay so, in whatever spelling they were."""
    environment = {"http_proxy": "http://proxy.example:3128", "NO_PROXY": ".internal"}
    spare_loopback(environment)
    assert environment["no_proxy"] == environment["NO_PROXY"] == ".internal,localhost,127.0.0.1,::1,[::1]"
    assert "no_grpc_proxy" not in environment  # It would take the place of the other.


def test_what_needs_no_change_is_left_alone() -> None:
    """No proxy at all, and one that is for nothing."""
    for environment in ({"NO_PROXY": "a"}, {"https_proxy": ""}, {"HTTP_PROXY": "http://a", "no_proxy": "*"}):
        before = dict(environment)
        spare_loopback(environment)
        assert environment == before
