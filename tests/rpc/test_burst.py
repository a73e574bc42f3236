"""Calls that come while the event loop is busy."""

import asyncio
import threading
import time

import grpc
import grpc.aio

from llm_inference_api.server import GRPC_OPTIONS

CALLS = 800
"""Fewer than a connection may have at once; those of two are more than gRPC keeps waiting by default."""
_OWN = (("grpc.use_local_subchannel_pool", 1),)


async def _answer(_request: bytes, _context: object) -> bytes:
    return b"answer"


def _answers(address: str, connected: threading.Barrier) -> list[bytes]:
    with grpc.insecure_channel(address, _OWN) as channel:
        call = channel.unary_unary("/test.Test/Call")
        call(b"")
        connected.wait()
        return [each.result() for each in [call.future(b"") for _ in range(CALLS)]]


async def test_calls_that_come_while_the_loop_is_busy_are_answered() -> None:
    """By default gRPC drops some of more than 1,000 that wait, as CANCELLED."""
    server = grpc.aio.server(options=GRPC_OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(_answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", {"Call": handler}),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    connected = threading.Barrier(3)
    callers = [asyncio.create_task(asyncio.to_thread(_answers, address, connected)) for _ in range(2)]
    await asyncio.to_thread(connected.wait)
    time.sleep(1)  # noqa: ASYNC251 - the loop is busy
    assert [len(await caller) for caller in callers] == [CALLS, CALLS]
    await server.stop(None)
