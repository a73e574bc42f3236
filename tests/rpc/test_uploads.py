"""Methods to which callers stream, behind the interceptor."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_files_pb2, openai_files_pb2_grpc
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.spans import Spans
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.authentication import Authenticator
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.interceptor import CallInterceptor
from llm_inference_api.security.api_keys import KeyRing
from tests.rpc.scripted import access_lines

METHOD = "/llm_inference.v1.OpenAIFileService/CreateFile"


class Sizes(openai_files_pb2_grpc.OpenAIFileServiceServicer):
    """Answers with the sizes of the parts that came; refuses one of 13 bytes."""

    async def CreateFile(self, requests: AsyncIterator[Any], call: Call) -> openai_files_pb2.CreateFileResponse:  # noqa: N802
        sizes = []
        async for request in requests:
            sizes.append(len(request.http_body.data))
            if sizes[-1] == 13:
                raise InvalidFieldError("file", "has 13 bytes")
        return openai_files_pb2.CreateFileResponse(http_body=HttpBody(data=repr(sizes).encode()))


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    interceptor = CallInterceptor(
        Authenticator(KeyRing("ana:secret-secret-secret-secret", None)), Admission(), Metrics("test"), Spans(), {}
    )
    server = grpc.aio.server(interceptors=[interceptor])
    openai_files_pb2_grpc.add_OpenAIFileServiceServicer_to_server(Sizes(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


KEY = (("authorization", "Bearer secret-secret-secret-secret"),)


def parts(*sizes: int) -> list[openai_files_pb2.CreateFileRequest]:
    return [openai_files_pb2.CreateFileRequest(http_body=HttpBody(data=b"x" * size)) for size in sizes]


def upload(channel: grpc.aio.Channel, requests: Any, metadata: Any = KEY) -> Any:
    return openai_files_pb2_grpc.OpenAIFileServiceStub(channel).CreateFile(iter(requests), metadata=metadata)


async def test_parts_reach_the_method_one_by_one(channel: grpc.aio.Channel, caplog: pytest.LogCaptureFixture) -> None:
    """And the call is logged as any other."""
    caplog.set_level("INFO")
    answer = await upload(channel, parts(1, 2, 3))
    assert answer.http_body.data == b"[1, 2, 3]"
    (line,) = access_lines(caplog)
    assert (line["caller"], line["code"]) == ("ana", "OK")


async def test_error_ends_the_upload(channel: grpc.aio.Channel) -> None:
    """With the field that is wrong, before the rest has come."""
    with pytest.raises(grpc.aio.AioRpcError, match="file: has 13 bytes"):
        await upload(channel, parts(1, 13, 1))


async def test_upload_needs_a_key(channel: grpc.aio.Channel) -> None:
    """Nothing of it is read before."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await upload(channel, parts(1), metadata=())
    assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_part_that_is_no_message_is_refused(channel: grpc.aio.Channel) -> None:
    """By a text that says no more than that."""
    call = channel.stream_unary(METHOD)
    with pytest.raises(grpc.aio.AioRpcError, match="is not a valid message of its type"):
        await call(iter([b"\xff\xff\xff"]), metadata=KEY)


async def test_json_messages_are_refused(channel: grpc.aio.Channel) -> None:
    """Connect's JSON has no streams of requests here."""
    call = channel.stream_unary(METHOD)
    with pytest.raises(grpc.aio.AioRpcError, match="stream of JSON"):
        await call(iter([b"{}"]), metadata=(*KEY, ("x-message-codec", "json")))
