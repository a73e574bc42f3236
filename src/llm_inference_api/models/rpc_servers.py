"""Asks llama.cpp's RPC servers whether they are there and what memory they have free, before a model is loaded.

llama.cpp itself aborts the process if one does not answer. The messages are those of ggml/src/ggml-rpc/ggml-rpc.cpp: a
request is a byte, the length of its content and the content; an answer is a length and the content.
"""

import asyncio
import logging
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from dataclasses import dataclass

from llm_inference_api.errors import RPC_SERVER_DOWN, UnavailableError

PROTOCOL = 7
"""RPC_PROTO_MAJOR_VERSION (ggml-rpc.h) of the pinned llama.cpp."""
_HELLO, _DEVICE_COUNT, _DEVICE_MEMORY = 14, 15, 11
"""enum rpc_cmd."""
_CAPABILITIES = bytes(24)
"""None of another transport than TCP (RPC_CONN_CAPS_SIZE)."""
_TIMEOUT = 10.0
"""Seconds for each server. One that a process has just left frees the memory of its model first."""
RETRY = 5.0
"""Seconds after which a server that did not answer is asked again."""
_SILENT = "it does not answer; a server serves one process at a time, and another one may have it"
_MOST_DEVICES = 64

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RpcServers:
    """The servers, and the model that is computed by them. Each serves one process at a time, so it is one model."""

    model: str
    """Id of the model."""
    endpoints: tuple[str, ...]
    """Such as `10.0.0.2:50052`."""


class NoAnswerError(Exception):
    """A server cannot be used; the text says why."""


class RpcServer:
    """One server, which is asked whether it can be used, again and again."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        """Its address, such as `10.0.0.2:50052`."""
        self._asking: asyncio.Task[int] | None = None
        """A question that was not answered in time. It goes on: a server that finds its client gone when its turn comes
        ends of SIGPIPE, unless `make llama-rpc` has compiled it."""

    async def free_memory(self, timeout: float = _TIMEOUT) -> int:
        """Returns the bytes that are free on all its devices.

        Raises:
            NoAnswerError: It does not answer within `timeout` seconds, or has another protocol.
        """
        asking = self._asking = self._asking or asyncio.create_task(_ask(self.endpoint))
        if not (await asyncio.wait({asking}, timeout=timeout))[0]:
            raise NoAnswerError(_SILENT)
        self._asking = None
        try:
            return asking.result()
        except ConnectionRefusedError as error:
            raise NoAnswerError("nothing listens there") from error
        except TimeoutError as error:
            raise NoAnswerError("it cannot be reached") from error
        except OSError as error:
            raise NoAnswerError(error.strerror or type(error).__name__) from error
        except EOFError as error:
            raise NoAnswerError("it ends the connection") from error

    def close(self) -> None:
        """Gives up a question that was not answered."""
        if self._asking is not None:
            self._asking.cancel()


async def free_memory(servers: Sequence[RpcServer], timeout: float = _TIMEOUT) -> int:
    """Returns the bytes that are free on all devices of the servers.

    The log names a server that cannot be used by its address; what callers are told names it by its number.

    Raises:
        UnavailableError: A server does not answer within `timeout` seconds, or has another protocol.
    """
    free = 0
    for number, server in enumerate(servers, 1):
        try:
            free += await server.free_memory(timeout)
        except NoAnswerError as problem:
            endpoint = server.endpoint
            logger.error("RPC server %s, number %d of LLM_RPC_SERVERS: %s", endpoint, number, problem)  # noqa: TRY400
            text = f"server {number} of LLM_RPC_SERVERS, which is to hold a part of the model, cannot be used"
            problem_text = f"{text}: {problem}; the model is loaded as soon as it can"
            raise UnavailableError(RPC_SERVER_DOWN, problem_text, RETRY) from problem
    return free


async def all_answer(servers: Sequence[RpcServer], timeout: float = _TIMEOUT) -> bool:
    """Returns whether all servers can be used."""
    try:
        for server in servers:
            await server.free_memory(timeout)
    except NoAnswerError:
        return False
    return True


async def _ask(endpoint: str) -> int:
    """Returns the bytes that are free on all devices of one server, however long it has no time to say so."""
    host, _, port = endpoint.rpartition(":")
    async with asyncio.timeout(_TIMEOUT):
        # llama.cpp resolves names to addresses of IPv4 only.
        reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
    try:
        _notice_lost_machine(writer.get_extra_info("socket"))
        return await _free(reader, writer)
    finally:
        writer.close()


def _notice_lost_machine(connection: socket.socket) -> None:
    """Has the connection fail within a minute where the other machine is gone, also while nothing is sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 40_000),
    ):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _free(reader: StreamReader, writer: StreamWriter) -> int:
    major, minor, patch = (await _answer(reader, writer, _HELLO, _CAPABILITIES, f"<3Bx{len(_CAPABILITIES)}x"))[:3]
    if major != PROTOCOL:
        raise NoAnswerError(
            f"it speaks version {major}.{minor}.{patch} of the protocol, and {PROTOCOL}.x is needed: run the "
            "ggml-rpc-server of the same build"
        )
    (devices,) = await _answer(reader, writer, _DEVICE_COUNT, b"", "<I")
    free = 0
    for device in range(min(devices, _MOST_DEVICES)):
        free += (await _answer(reader, writer, _DEVICE_MEMORY, struct.pack("<I", device), "<QQ"))[0]
    return free


async def _answer(reader: StreamReader, writer: StreamWriter, command: int, content: bytes, form: str) -> list[int]:
    """Returns the numbers of the answer to a request, of this form."""
    writer.write(struct.pack("<BQ", command, len(content)) + content)
    await writer.drain()
    size = struct.calcsize(form)
    (length,) = struct.unpack("<Q", await reader.readexactly(8))
    if length != size:
        raise NoAnswerError("it is no RPC server of llama.cpp, or one of another version")
    return list(struct.unpack(form, await reader.readexactly(size)))
