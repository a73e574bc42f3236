"""Each RPC ends once, with the status that its caller sees: in the access log, in the metrics and in its span."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from opentelemetry.trace import StatusCode

from llm_inference_api.errors import InvalidFieldError, UnavailableError
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.error_writer import StatusOnly
from llm_inference_api.rpc.statuses import Failure
from tests.fakes.collector import Collector
from tests.rpc.scripted import STREAM, UNARY, Part, Scripted, Stream, Unary, Whole, access_lines, scripted

SECRET = "/home/ann/secret-path"


async def two_parts(_: Call) -> AsyncGenerator[Any]:
    yield Part(text="a")
    yield Part(text="b")


async def endless(_: Call) -> AsyncGenerator[Any]:
    yield Part(text="a")
    await asyncio.Event().wait()


async def refused_in_the_stream(_: Call) -> AsyncGenerator[Any]:
    yield Part(text="a")
    raise UnavailableError("WORKER_DIED", "the model's process ended")


async def broken_stream(_: Call) -> AsyncGenerator[Any]:
    yield Part(text="a")
    raise RuntimeError(SECRET)


async def answer(_: Call) -> Any:
    return Whole(text="a")


async def refused(_: Call) -> Any:
    raise InvalidFieldError("prompt", "is empty")


async def broken(_: Call) -> Any:
    raise RuntimeError(SECRET)


async def read(call: Any) -> grpc.StatusCode:
    """Returns the status at the end of the stream."""
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return await call.code()  # type: ignore[no-any-return]


async def whole(call: Any) -> grpc.StatusCode:
    """Returns the status of the answer."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return await call.code()  # type: ignore[no-any-return]


async def leave(call: Any) -> grpc.StatusCode:
    """Cancels in the middle of the stream, and returns its status."""
    await call.read()
    call.cancel()
    return await call.code()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Ending:
    """A way in which an RPC ends."""

    behaviour: Stream | Unary
    end: Callable[[Any], Awaitable[grpc.StatusCode]]
    """What the caller does with the call until it has a status."""
    code: str
    timeout: float | None = None
    server: tuple[str | None, int | None] = (None, None)
    """API keys, and each caller's limit."""
    error: str | None = None
    """Beginning of the message in the log."""

    @property
    def method(self) -> str:
        return UNARY if self.end is whole else STREAM

    def call(self, running: Scripted) -> Any:
        call = running.unary if self.end is whole else running.stream
        return call(timeout=self.timeout)


ENDINGS = {
    "stream": Ending(two_parts, read, "OK"),
    "unary": Ending(answer, whole, "OK"),
    "caller leaves": Ending(endless, leave, "CANCELLED"),
    "deadline": Ending(endless, read, "DEADLINE_EXCEEDED", timeout=0.2),
    "error in a stream": Ending(refused_in_the_stream, read, "UNAVAILABLE", error="the model's process ended"),
    "error": Ending(refused, whole, "INVALID_ARGUMENT", error="prompt: is empty"),
    "exception in a stream": Ending(broken_stream, read, "INTERNAL", error="internal error; incident "),
    "exception": Ending(broken, whole, "INTERNAL", error="internal error; incident "),
    "refusal at the gate": Ending(two_parts, read, "RESOURCE_EXHAUSTED", server=(None, 0), error="0 of your requests"),
    "refusal of a unary call": Ending(answer, whole, "RESOURCE_EXHAUSTED", server=(None, 0), error="0 of your"),
    "no key": Ending(two_parts, read, "UNAUTHENTICATED", server=("ann:key", None), error="an API key is needed"),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
async def test_call_ends_once_everywhere(
    ending: Ending, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """Log, metrics and span are written from one record, after the status is known."""
    async with scripted(ending.behaviour, collector, *ending.server) as running:
        seen = await ending.end(ending.call(running))
        await running.spans.first()
    assert seen is grpc.StatusCode[ending.code]
    (line,) = access_lines(caplog)
    assert (line["rpc.method"], line["code"]) == (ending.method, ending.code)
    assert line.get("error", "").startswith(ending.error or "")
    assert ("error" in line) == (ending.error is not None)
    assert running.counted() == {(ending.method, ending.code): 1.0}
    assert running.in_flight() == 0
    (span,) = running.spans.all
    assert span.attributes is not None
    assert span.attributes["rpc.grpc.status_code"] == seen.value[0]
    assert span.attributes.get("error.type") == (None if ending.code == "OK" else ending.code)
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


async def test_exceptions_text_is_in_the_log_alone(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """The access line, the status and the span have the incident's id; the log has the exception under it, once."""
    async with scripted(broken, collector) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.unary()
        span = await running.spans.first()
    details = caught.value.details() or ""
    (line,) = access_lines(caplog)
    incidents = [record for record in caplog.records if record.exc_info]
    assert [record.fields["incident_id"] for record in incidents] == [details.rpartition(" ")[2]]  # type: ignore[attr-defined]
    assert SECRET in caplog.text
    assert line["error"] == span.status.description == details
    assert SECRET not in f"{line} {details} {span.to_json()}"


async def test_handler_is_closed_before_its_call_ends() -> None:
    """A caller leaves while it is sent to: the handler waits in a `yield`, which no cancellation reaches."""
    seen: list[str] = []
    second = asyncio.Event()

    async def flood(call: Call) -> AsyncGenerator[Any]:
        part = Part(text="x" * (1 << 20))
        try:
            yield part
            second.set()
            while True:
                yield part
        except GeneratorExit:
            seen.append(f"closed while {call.code.name}")
            raise

    async with scripted(flood, None) as running:
        call = running.stream()
        await call.read()
        await second.wait()
        call.cancel()
        assert await running.admission.empty(10)
        seen += [code for _, code in running.counted()]
    assert seen == ["closed while OK", "CANCELLED"]


async def test_certificate_that_cannot_be_read_is_an_incident(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What fails before the handler is called ends the call as the handler's own failures do."""
    forwarded = (("x-forwarded-client-cert", 'Cert="none"'),)
    async with scripted(answer, None, address=f"unix:{tmp_path}/socket") as running:
        assert await whole(running.unary(metadata=forwarded)) is grpc.StatusCode.INTERNAL
        assert await running.admission.empty(10)
    (line,) = access_lines(caplog)
    assert line["code"] == "INTERNAL"
    assert line["error"].startswith("internal error; incident ")


class BrokenWriter(StatusOnly):
    """A wire's error writer with a bug."""

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        raise RuntimeError("bug")


async def test_exception_that_is_mapped_to_no_status_is_unknown(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """gRPC makes UNKNOWN of what leaves the interceptor, and the record says so."""
    async with scripted(broken_stream, collector, writer=BrokenWriter()) as running:
        assert await read(running.stream()) is grpc.StatusCode.UNKNOWN
        span = await running.spans.first()
    assert span.status.status_code is StatusCode.ERROR
    assert running.counted() == {(STREAM, "UNKNOWN"): 1.0}
    assert [line["code"] for line in access_lines(caplog)] == ["UNKNOWN"]


async def test_aborted_calls_span_is_a_status_and_no_exception(collector: Collector) -> None:
    """A refusal has not crashed: the span has the code and the text, and no exception event."""
    async with scripted(refused_in_the_stream, collector) as running:
        await read(running.stream())
        span = await running.spans.first()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "the model's process ended")
    assert span.events == ()
