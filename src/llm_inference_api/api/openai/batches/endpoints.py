"""Endpoints that lines of batches may be for."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_pb2, responses_pb2
from llm_inference_api.api.bodies import JSON
from llm_inference_api.api.openai.responses.servicer import ResponsesServicer
from llm_inference_api.api.openai.servicer import OpenAIServicer
from llm_inference_api.rpc.call import Call

_OPENAI = f"/{openai_pb2.DESCRIPTOR.services_by_name['OpenAIService'].full_name}/"
_RESPONSES = f"/{responses_pb2.DESCRIPTOR.services_by_name['ResponsesService'].full_name}/"


class Endpoint(NamedTuple):
    """An endpoint."""

    method: str
    """Full name of its RPC."""
    answer: Callable[[bytes, Call], Awaitable[bytes]]
    """Returns the JSON document that answers a body, and raises what the RPC raises."""


Endpoints = Mapping[str, Endpoint]
"""By path."""


def openai_endpoints(openai: OpenAIServicer, responses: ResponsesServicer) -> Endpoints:
    """Returns the endpoints."""
    return {
        "/v1/chat/completions": _streaming(
            _OPENAI, openai.CreateChatCompletion, openai_pb2.CreateChatCompletionRequest
        ),
        "/v1/completions": _streaming(_OPENAI, openai.CreateCompletion, openai_pb2.CreateCompletionRequest),
        "/v1/embeddings": _unary(_OPENAI, openai.CreateEmbedding, openai_pb2.CreateEmbeddingRequest),
        "/v1/responses": _streaming(_RESPONSES, responses.CreateResponse, responses_pb2.CreateResponseRequest),
    }


def _streaming(
    service: str, behaviour: Callable[[Any, Call], AsyncIterator[Any]], kind: Callable[..., Any]
) -> Endpoint:
    async def answer(body: bytes, call: Call) -> bytes:
        request = kind(http_body=HttpBody(content_type=JSON, data=body))
        return b"".join([part.http_body.data async for part in behaviour(request, call)])

    return Endpoint(service + behaviour.__name__, answer)


def _unary(service: str, behaviour: Callable[[Any, Call], Awaitable[Any]], kind: Callable[..., Any]) -> Endpoint:
    async def answer(body: bytes, call: Call) -> bytes:
        response = await behaviour(kind(http_body=HttpBody(content_type=JSON, data=body)), call)
        return bytes(response.http_body.data)

    return Endpoint(service + behaviour.__name__, answer)
