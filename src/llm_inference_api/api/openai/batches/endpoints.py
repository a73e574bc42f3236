"""Endpoints that lines of batches may be for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_pb2
from llm_inference_api.api.bodies import JSON
from llm_inference_api.api.openai.servicer import OpenAIServicer
from llm_inference_api.rpc.call import Call

_SERVICE = f"/{openai_pb2.DESCRIPTOR.services_by_name['OpenAIService'].full_name}/"


class Endpoint(NamedTuple):
    """An endpoint."""

    method: str
    """Full name of its RPC."""
    answer: Callable[[bytes, Call], Awaitable[bytes]]
    """Returns the JSON document that answers a body, and raises what the RPC raises."""


Endpoints = Mapping[str, Endpoint]
"""By path."""


def openai_endpoints(servicer: OpenAIServicer) -> Endpoints:
    """Returns the endpoints."""
    return {
        "/v1/chat/completions": _streaming(servicer.CreateChatCompletion, openai_pb2.CreateChatCompletionRequest),
        "/v1/completions": _streaming(servicer.CreateCompletion, openai_pb2.CreateCompletionRequest),
        "/v1/embeddings": _unary(servicer.CreateEmbedding, openai_pb2.CreateEmbeddingRequest),
    }


def _streaming(behaviour: Callable[[Any, Call], AsyncIterator[Any]], kind: Callable[..., Any]) -> Endpoint:
    async def answer(body: bytes, call: Call) -> bytes:
        request = kind(http_body=HttpBody(content_type=JSON, data=body))
        return b"".join([part.http_body.data async for part in behaviour(request, call)])

    return Endpoint(_SERVICE + behaviour.__name__, answer)


def _unary(behaviour: Callable[[Any, Call], Awaitable[Any]], kind: Callable[..., Any]) -> Endpoint:
    async def answer(body: bytes, call: Call) -> bytes:
        response = await behaviour(kind(http_body=HttpBody(content_type=JSON, data=body)), call)
        return bytes(response.http_body.data)

    return Endpoint(_SERVICE + behaviour.__name__, answer)
