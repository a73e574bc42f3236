"""The client for asyncio.

```python
from llm_inference_client import aio

async with aio.connect("localhost:50051") as client:
    async for part in client.inference.ChatStream(request):
        print(part.delta.content)
```
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

import grpc
import grpc.aio

from llm_inference.v1 import (
    decisions_pb2_grpc,
    embeddings_pb2_grpc,
    inference_pb2_grpc,
    models_pb2_grpc,
    ranking_pb2_grpc,
    scores_pb2_grpc,
    tokens_pb2_grpc,
)
from llm_inference_client.channel import (
    CAUSE_TIMEOUT,
    CONNECT_TIMEOUT,
    HEALTH_CHECK,
    TIMEOUT,
    Calls,
    Metadata,
    Tls,
    channel_options,
    credentials_of,
    unanswered,
    unreachable,
)
from llm_inference_client.errors import ServiceError, service_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Sequence


@asynccontextmanager
async def connect(
    address: str,
    *,
    key: str | None = None,
    tls: bool | Tls = False,
    timeout: float | None = TIMEOUT,
    connect_timeout: float | None = CONNECT_TIMEOUT,
    wait_for_ready: bool = True,
    options: Sequence[tuple[str, Any]] = (),
    interceptors: Sequence[grpc.aio.ClientInterceptor] = (),
) -> AsyncIterator[Client]:
    """Connects to a service and yields its client; at the end all calls and the connection end.

    Args:
        address: `host:port` of the service or of Envoy, or another target of gRPC, such as `dns:///replicas:50051`.
        key: API key.
        tls: Whether to use TLS with gRPC's default roots, or the certificates to use.
        timeout: Seconds of each call's deadline unless the call gives its own; None for none.
        connect_timeout: Seconds in which the service must answer; None to go on at once, without a connection.
        wait_for_ready: Whether calls go to replicas only that are ready, by the health name `preloaded`, and wait for
            one; otherwise they, and connecting, go to whatever answers, and fail at once where nothing does.
        options: Channel options of gRPC beside, or in place of, the client's own.
        interceptors: Client interceptors of gRPC.

    Raises:
        ServiceError: Nothing that is ready answers at the address (code UNAVAILABLE).
    """
    with_options = channel_options(address, options, wait_for_ready=wait_for_ready)
    credentials = credentials_of(tls)

    def opened(*interceptors: grpc.aio.ClientInterceptor) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(address, with_options, interceptors=interceptors)
        return grpc.aio.secure_channel(address, credentials, with_options, interceptors=interceptors)

    async with opened(*interceptors) as channel:
        if connect_timeout is not None and not await _is_ready(channel, connect_timeout, once=not wait_for_ready):
            # One of its own, since the program's interceptors need not see what is asked now.
            async with opened() as asked:
                if cause := await _cause(asked):
                    raise unreachable(address, cause)
        yield Client(channel, Calls(key, timeout))


async def _is_ready(channel: grpc.aio.Channel, seconds: float, *, once: bool) -> bool:
    """Returns whether the channel has a connection within that time; `once`: at its first try."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            state = channel.get_state(try_to_connect=True)
            while state is not grpc.ChannelConnectivity.READY:
                if once and state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                    return False
                await channel.wait_for_state_change(state)
                state = channel.get_state(try_to_connect=True)
            return True
    return False


async def _cause(channel: grpc.aio.Channel) -> ServiceError | None:
    """Returns why no service answers on a channel; None if one does."""
    ask: Any = channel.unary_unary(HEALTH_CHECK)
    try:
        await ask(b"", timeout=CAUSE_TIMEOUT, wait_for_ready=False)
    except grpc.RpcError as error:
        return unanswered(service_error(error))
    return None


class Client:
    """One service. Its stubs are those of the contract, with gRPC's calls; a failed call raises ServiceError."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        wrapped = cast("grpc.aio.Channel", _Channel(channel, calls))
        self.channel = wrapped
        self.inference: inference_pb2_grpc.InferenceServiceAsyncStub = inference_pb2_grpc.InferenceServiceStub(wrapped)
        self.embeddings: embeddings_pb2_grpc.EmbeddingServiceAsyncStub = embeddings_pb2_grpc.EmbeddingServiceStub(
            wrapped
        )
        self.ranking: ranking_pb2_grpc.RankingServiceAsyncStub = ranking_pb2_grpc.RankingServiceStub(wrapped)
        self.decisions: decisions_pb2_grpc.DecisionServiceAsyncStub = decisions_pb2_grpc.DecisionServiceStub(wrapped)
        self.scores: scores_pb2_grpc.ScoreServiceAsyncStub = scores_pb2_grpc.ScoreServiceStub(wrapped)
        self.tokens: tokens_pb2_grpc.TokenServiceAsyncStub = tokens_pb2_grpc.TokenServiceStub(wrapped)
        self.models: models_pb2_grpc.ModelServiceAsyncStub = models_pb2_grpc.ModelServiceStub(wrapped)


class _Channel:
    """A channel whose calls have deadline and metadata, and raise ServiceError."""

    def __init__(self, channel: grpc.aio.Channel, calls: Calls) -> None:
        self._channel = channel
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def unary_unary(self, method: str, *arguments: Any, **named: Any) -> _Method:
        return _Method(self._channel.unary_unary(method, *arguments, **named), method, self._calls)

    def unary_stream(self, method: str, *arguments: Any, **named: Any) -> _Method:
        return _Method(self._channel.unary_stream(method, *arguments, **named), method, self._calls)

    def stream_unary(self, method: str, *arguments: Any, **named: Any) -> NoReturn:
        raise NotImplementedError(method)

    def stream_stream(self, method: str, *arguments: Any, **named: Any) -> NoReturn:
        raise NotImplementedError(method)


class _Method:
    def __init__(self, inner: Any, method: str, calls: Calls) -> None:
        self._inner = inner
        self._method = method
        self._calls = calls

    def __call__(
        self, request: Any, *, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> _Call:
        complete = {
            "timeout": self._calls.deadline(self._method, timeout),
            "metadata": self._calls.metadata(metadata),
        }
        return _Call(self._inner(request, **complete, **others), self._method)


class _Call:
    """gRPC's call: awaited for one message, iterated for a stream."""

    def __init__(self, call: Any, method: str) -> None:
        self._call = call
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._call.__await__())
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for message in self._call:
                yield message
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error
        finally:
            self._call.cancel()

    async def read(self) -> Any:
        """Returns the next message of a stream, or grpc.aio.EOF."""
        try:
            return await self._call.read()
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call.cancel()
