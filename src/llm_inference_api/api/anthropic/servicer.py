"""AnthropicService: the endpoints below `/v1/messages`."""

from collections.abc import AsyncGenerator
from typing import TypeVar

from llm_inference.v1 import anthropic_pb2, anthropic_pb2_grpc
from llm_inference_api.api.anthropic.params import CountParams, MessagesParams, parse
from llm_inference_api.api.anthropic.reading import read_messages
from llm_inference_api.api.anthropic.writers import MessageWriter
from llm_inference_api.api.bodies import check_values, events_body, json_body, whole_bodies
from llm_inference_api.generation.generation import Generations
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.requests.inquiry import Render
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

Params = TypeVar("Params", MessagesParams, CountParams)


class AnthropicServicer(anthropic_pb2_grpc.AnthropicServiceServicer):
    """Translates between HTTP bodies and generations."""

    def __init__(self, generations: Generations, inquiries: Inquiries, limits: Limits) -> None:
        self._generations = generations
        self._inquiries = inquiries
        self._limits = limits

    async def CreateMessage(
        self, request: anthropic_pb2.CreateMessageRequest, call: Call
    ) -> AsyncGenerator[anthropic_pb2.CreateMessageResponse]:
        """Yields the HTTP body of `POST /v1/messages`: one JSON document, or SSE parts with `stream`."""
        body = request.http_body.data
        await check_values(body)
        params, ask = await off_loop(len(body), self._read, MessagesParams, body)
        streamed = bool(params.stream)
        async with self._generations.open(ask, call, streamed=streamed) as generation:
            writer = MessageWriter(generation.request)
            if not streamed:
                for part in await whole_bodies(writer, generation):
                    yield anthropic_pb2.CreateMessageResponse(http_body=part)
                return
            async for event in generation:
                yield anthropic_pb2.CreateMessageResponse(http_body=events_body(writer.part(event)))

    async def CountMessageTokens(
        self, request: anthropic_pb2.CountMessageTokensRequest, call: Call
    ) -> anthropic_pb2.CountMessageTokensResponse:
        """Returns the HTTP body of `POST /v1/messages/count_tokens`."""
        body = request.http_body.data
        await check_values(body)
        params, ask = await off_loop(len(body), self._read, CountParams, body)
        tokens = await self._inquiries.inquire(params.model, Render(ask), call)
        return anthropic_pb2.CountMessageTokensResponse(http_body=json_body({"input_tokens": len(tokens)}))

    def _read(self, kind: type[Params], body: bytes) -> tuple[Params, GenerationRequest]:
        params = parse(kind, body)
        return params, read_messages(params, self._limits)
