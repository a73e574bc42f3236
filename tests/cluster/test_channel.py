"""What replicas send arrives, in order, at the request that it is for, and from nobody else."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from llm_inference_api.cluster.channel import Inbox, Outlets, ReplicaAddress
from tests.cluster.received import Received, opened_inbox
from tests.fakes.certificates import Authority


@asynccontextmanager
async def ends() -> AsyncIterator[tuple[Inbox, Outlets]]:
    outlets = Outlets()
    async with opened_inbox() as inbox:
        try:
            yield inbox, outlets
        finally:
            await outlets.close()


async def test_parts_arrive_in_order_at_their_request() -> None:
    """Also those larger than what is read at once."""
    first, second = Received(), Received()
    async with ends() as (inbox, outlets):
        one, other = inbox.open(first.take), inbox.open(second.take)
        large = "x" * 1_000_000
        for part in (1, large, 3):
            await outlets.send(one, part)
            await outlets.send(other, ("other", part))
        assert await first.until(3) == [1, large, 3]
        assert await second.until(3) == [("other", 1), ("other", large), ("other", 3)]


async def test_server_has_one_connection_of_a_replica() -> None:
    received = Received()
    async with ends() as (inbox, outlets):
        addresses = [inbox.open(received.take) for _ in range(8)]
        await asyncio.gather(*(outlets.send(address, 0) for address in addresses))
        await received.until(8)
        assert len(inbox._connections) == 1


async def test_closed_request_receives_nothing_more() -> None:
    received, kept = Received(), Received()
    async with ends() as (inbox, outlets):
        gone, stays = inbox.open(received.take), inbox.open(kept.take)
        inbox.close(gone)
        await outlets.send(gone, "late")
        await outlets.send(stays, "in time")
        assert await kept.until(1) == ["in time"]
    assert received == []


async def test_connection_without_the_secret_is_closed() -> None:
    """Nothing that it sends is unpickled."""
    received = Received()
    async with ends() as (inbox, outlets):
        address = inbox.open(received.take)
        reader, writer = await asyncio.open_connection(address.host, address.port)
        await outlets.send(address, "ours")
        writer.write(bytes(len(address.secret)) + b"anything")
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        writer.close()
        assert await received.until(1) == ["ours"]


async def test_connection_that_has_ended_is_not_used_again() -> None:
    received = Received()
    async with ends() as (inbox, outlets):
        address = inbox.open(received.take)
        await outlets.send(address, 1)
        await received.until(1)
        first = await outlets._writer(address)
        first.close()
        await first.wait_closed()
        await outlets.send(address, 2)
        assert await received.until(2) == [1, 2]


async def test_server_that_is_gone_is_an_error() -> None:
    async with ends() as (inbox, outlets):
        address = inbox.open(lambda _: None)
        await inbox.stop()
        with pytest.raises(ConnectionRefusedError):
            await outlets.send(address, 1)


async def test_connections_use_tls_where_ray_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Ray's certificates, on both sides."""
    authority = Authority(tmp_path)
    pair = authority.server()
    files = {"SERVER_CERT": pair.certificate, "SERVER_KEY": pair.key, "CA_CERT": authority.path}
    for name, file in files.items():
        monkeypatch.setenv(f"RAY_TLS_{name}", str(file))
    monkeypatch.setenv("RAY_USE_TLS", "1")
    received = Received()
    async with ends() as (inbox, outlets):
        address = inbox.open(received.take)
        await outlets.send(address, "secret")
        assert await received.until(1) == ["secret"]
        await _refuses_plain_text(address)


async def _refuses_plain_text(address: ReplicaAddress) -> None:
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(address.secret)
    try:
        async with asyncio.timeout(20):
            await reader.read()  # To its end.
    except (ConnectionError, ssl.SSLError):
        pass
    writer.close()
