"""Calls that the service makes itself."""

import asyncio

import grpc
import pytest

from llm_inference_api.errors import OverloadedError
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.observability.otlp import OtlpTarget
from llm_inference_api.observability.spans import Spans
from llm_inference_api.observability.tracing import TraceChoice, Tracing
from llm_inference_api.rpc.background import BackgroundCalls
from tests.fakes.collector import Collector
from tests.rpc.scripted import EndedSpans, access_lines

METHOD = "/llm_inference.v1.OpenAIService/CreateChatCompletion"


@pytest.fixture
def calls() -> BackgroundCalls:
    return BackgroundCalls(Spans())


async def test_call_is_logged_with_its_facts(calls: BackgroundCalls, caplog: pytest.LogCaptureFixture) -> None:
    """As an RPC is, without the address of a peer that there is not."""
    caplog.set_level("INFO")
    with calls.open(METHOD, "ana", 60.0, batch="batch_1") as call:
        call.facts["model"] = "m"
    (line,) = access_lines(caplog)
    assert (line["caller"], line["code"], line["batch"], line["model"]) == ("ana", "OK", "batch_1", "m")
    assert line["rpc.method"] == METHOD
    assert "peer" not in line


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OverloadedError("full", 1.0), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (asyncio.CancelledError(), grpc.StatusCode.CANCELLED),
        (ZeroDivisionError(), grpc.StatusCode.INTERNAL),
    ],
)
async def test_failure_is_logged_and_raised(
    calls: BackgroundCalls, caplog: pytest.LogCaptureFixture, error: BaseException, code: grpc.StatusCode
) -> None:
    """With the status that an RPC would have had."""
    caplog.set_level("INFO")
    with pytest.raises(type(error)), calls.open(METHOD, "ana", 60.0):
        raise error
    assert [line["code"] for line in access_lines(caplog)] == [code.name]


async def test_call_has_a_span_of_its_own(collector: Collector) -> None:
    """The model's span is its child, as an RPC's."""
    ended = EndedSpans()
    spans = Tracing(TraceChoice(OtlpTarget(collector.endpoint), "test"), lambda _: None)
    spans.provider.add_span_processor(ended)
    with BackgroundCalls(spans).open(METHOD, "ana", 60.0) as call:
        assert call.trace is not None
    assert (await ended.first()).name == METHOD
    spans.close()


async def test_background_work_has_all_its_time(calls: BackgroundCalls) -> None:
    """The limits of requests, for which somebody waits, do not end it; its own does."""
    with calls.open(METHOD, "ana", 60.0) as call:
        async with Timeouts(0.001, 0.001, 1.0).within(call):
            await asyncio.sleep(0.02)
    with calls.open(METHOD, "ana", 0.01) as call, pytest.raises(Exception, match="longer than"):
        async with Timeouts(60.0, 60.0, 1.0).within(call):
            await asyncio.Event().wait()
