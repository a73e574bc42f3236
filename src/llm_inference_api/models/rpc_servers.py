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


async def free_memory(endpoints: Sequence[str], timeout: float = _TIMEOUT) -> int:
    """Returns the bytes that are free on all devices of the servers.

    The log names a server that cannot be used by its address; what callers are told names it by its number.

    Raises:
        UnavailableError: A server does not answer within `timeout` seconds, or has another protocol.
    """
    free = 0
    for number, endpoint in enumerate(endpoints, 1):
        try:
            free += await ask_free_memory(endpoint, timeout)
        except NoAnswerError as problem:
            logger.error("RPC server %s, number %d of LLM_RPC_SERVERS: %s", endpoint, number, problem)  # noqa: TRY400
            text = f"server {number} of LLM_RPC_SERVERS, which is to hold a part of the model, cannot be used"
            problem_text = f"{text}: {problem}; the model is loaded as soon as it can"
            raise UnavailableError(RPC_SERVER_DOWN, problem_text, RETRY) from problem
    return free


async def all_answer(endpoints: Sequence[str], timeout: float = _TIMEOUT) -> bool:
    """Returns whether all servers can be used."""
    try:
        for endpoint in endpoints:
            await ask_free_memory(endpoint, timeout)
    except NoAnswerError:
        return False
    return True


async def ask_free_memory(endpoint: str, timeout: float = _TIMEOUT) -> int:
    """Returns the bytes that are free on all devices of one server. Raises NoAnswerError if it cannot be used."""
    host, _, port = endpoint.rpartition(":")
    try:
        async with asyncio.timeout(timeout):
            # llama.cpp resolves names to addresses of IPv4 only.
            reader, writer = await asyncio.open_connection(host, int(port), family=socket.AF_INET)
            try:
                return await _free(reader, writer)
            finally:
                writer.close()
    except ConnectionRefusedError as error:
        raise NoAnswerError("nothing listens there") from error
    except TimeoutError as error:
        problem = "it does not answer; a server serves one process at a time, and another one may have it"
        raise NoAnswerError(problem) from error
    except OSError as error:
        raise NoAnswerError(error.strerror or type(error).__name__) from error
    except EOFError as error:
        raise NoAnswerError("it ends the connection") from error


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
