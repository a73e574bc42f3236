"""The client for threads."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, Self

import grpc

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
    from collections.abc import Callable, Iterator, Sequence


def connect(
    address: str,
    *,
    key: str | None = None,
    tls: bool | Tls = False,
    timeout: float | None = TIMEOUT,
    connect_timeout: float | None = CONNECT_TIMEOUT,
    wait_for_ready: bool = True,
    options: Sequence[tuple[str, Any]] = (),
    interceptors: Sequence[Any] = (),
) -> Client:
    """Connects to a service and returns its client, for any number of threads.

    Args:
        address: `host:port` of the service or of Envoy, or another target of gRPC, such as `dns:///replicas:50051`.
        key: API key.
        tls: Whether to use TLS with gRPC's default roots, or the certificates to use.
        timeout: Seconds of each call's deadline unless the call gives its own; None for none.
        connect_timeout: Seconds in which the service must answer; None to return at once, without a connection.
        wait_for_ready: Whether calls go to replicas only that are ready, by the health name `preloaded`, and wait for
            one; otherwise they, and connecting, go to whatever answers, and fail at once where nothing does.
        options: Channel options of gRPC beside, or in place of, the client's own.
        interceptors: Client interceptors of gRPC.

    Raises:
        ServiceError: Nothing that is ready answers at the address (code UNAVAILABLE).
    """
    with_options = channel_options(address, options, wait_for_ready=wait_for_ready)
    credentials = credentials_of(tls)
    if credentials is None:
        channel = grpc.insecure_channel(address, with_options)
    else:
        channel = grpc.secure_channel(address, credentials, with_options)
    if connect_timeout is not None and not _is_ready(channel, connect_timeout, once=not wait_for_ready):
        cause = _cause(channel)
        if cause is not None:
            channel.close()
            raise unreachable(address, cause)
    return Client(grpc.intercept_channel(channel, *interceptors), Calls(key, timeout))


def _is_ready(channel: grpc.Channel, seconds: float, *, once: bool) -> bool:
    """Returns whether the channel has a connection within that time; `once`: at its first try."""
    states: SimpleQueue[grpc.ChannelConnectivity] = SimpleQueue()
    channel.subscribe(states.put, try_to_connect=True)
    end = time.monotonic() + seconds
    try:
        while True:
            state = states.get(timeout=max(0, end - time.monotonic()))
            if state is grpc.ChannelConnectivity.READY:
                return True
            if once and state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                return False
    except Empty:
        return False
    finally:
        channel.unsubscribe(states.put)


def _cause(channel: grpc.Channel) -> ServiceError | None:
    """Returns why no service answers on a channel; None if one does."""
    ask: Any = channel.unary_unary(HEALTH_CHECK)
    try:
        ask(b"", timeout=CAUSE_TIMEOUT, wait_for_ready=False)
    except grpc.RpcError as error:
        return unanswered(service_error(error))
    return None


class Client:
    """One service. Its stubs are those of the contract; a failed call raises ServiceError.

    A call takes `timeout`, `metadata` and the other arguments of gRPC's. A stream is read once; leaving its `with`
    block, or dropping it, ends the call.
    """

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        self.channel: grpc.Channel = _Channel(channel, calls)
        self.inference = inference_pb2_grpc.InferenceServiceStub(self.channel)
        self.embeddings = embeddings_pb2_grpc.EmbeddingServiceStub(self.channel)
        self.ranking = ranking_pb2_grpc.RankingServiceStub(self.channel)
        self.decisions = decisions_pb2_grpc.DecisionServiceStub(self.channel)
        self.scores = scores_pb2_grpc.ScoreServiceStub(self.channel)
        self.tokens = tokens_pb2_grpc.TokenServiceStub(self.channel)
        self.models = models_pb2_grpc.ModelServiceStub(self.channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls and the connection."""
        self.channel.close()


class _Channel(grpc.Channel):
    """A channel whose calls have deadline and metadata, and raise ServiceError."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        self._channel = channel
        self._calls = calls

    def unary_unary(self, method: str, *arguments: Any, **named: Any) -> Any:
        return _Unary(self._channel.unary_unary(method, *arguments, **named), method, self._calls)

    def unary_stream(self, method: str, *arguments: Any, **named: Any) -> Any:
        return _Streamed(self._channel.unary_stream(method, *arguments, **named), method, self._calls)

    def stream_unary(self, method: str, *arguments: Any, **named: Any) -> NoReturn:
        raise NotImplementedError(method)

    def stream_stream(self, method: str, *arguments: Any, **named: Any) -> NoReturn:
        raise NotImplementedError(method)

    def subscribe(self, callback: Callable[..., None], try_to_connect: bool = False) -> None:  # noqa: FBT001, FBT002
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[..., None]) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Method:
    def __init__(self, inner: Any, method: str, calls: Calls) -> None:
        self._inner = inner
        self._method = method
        self._calls = calls

    def _complete(self, timeout: float | None, metadata: Metadata | None) -> dict[str, Any]:
        return {
            "timeout": self._calls.deadline(self._method, timeout),
            "metadata": self._calls.metadata(metadata),
        }


class _Unary(_Method):
    def __call__(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> Any:
        try:
            return self._inner(request, **self._complete(timeout, metadata), **others)
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error

    def with_call(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> tuple[Any, grpc.Call]:
        try:
            answer: tuple[Any, grpc.Call] = self._inner.with_call(
                request, **self._complete(timeout, metadata), **others
            )
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error
        return answer

    def future(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> _Future:
        return _Future(self._inner.future(request, **self._complete(timeout, metadata), **others), self._method)


class _Future:
    """gRPC's future of an answer."""

    def __init__(self, call: Any, method: str) -> None:
        self._call = call
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def result(self, timeout: float | None = None) -> Any:
        try:
            return self._call.result(timeout)
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error

    def exception(self, timeout: float | None = None) -> BaseException | None:
        error = self._call.exception(timeout)
        return service_error(error, self._method) if isinstance(error, grpc.RpcError) else error

    def add_done_callback(self, callback: Callable[[_Future], None]) -> None:
        self._call.add_done_callback(lambda _: callback(self))


class _Streamed(_Method):
    def __call__(
        self, request: Any, timeout: float | None = None, metadata: Metadata | None = None, **others: Any
    ) -> _Stream:
        return _Stream(self._inner(request, **self._complete(timeout, metadata), **others), self._method)


class _Stream:
    """The messages of a stream; its other attributes are those of gRPC's call."""

    def __init__(self, call: Any, method: str) -> None:
        self._call = call
        self._method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise service_error(error, self._method) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._call.cancel()
