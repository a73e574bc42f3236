"""InferenceService: Generate and Chat, unary and streaming."""

from collections.abc import AsyncGenerator

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from llm_inference_api.api.native.reading import read_chat, read_generate
from llm_inference_api.api.native.writers import ChatWriter, GenerateWriter, chat_response, generate_response
from llm_inference_api.generation.generation import Generations
from llm_inference_api.requests.limits import Limits
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop, written_size


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):
    """Translates between RPCs and generations. Methods raise ServiceErrors, which the interceptor maps to statuses."""

    def __init__(self, generations: Generations, limits: Limits) -> None:
        self._generations = generations
        self._limits = limits

    async def Generate(self, request: inference_pb2.GenerateRequest, call: Call) -> inference_pb2.GenerateResponse:
        """Returns the completions of a prompt."""
        ask = await off_loop(request.ByteSize(), read_generate, request, self._limits)
        async with self._generations.open(ask, call, streamed=False) as generation:
            answers, total = await generation.whole()
            size = written_size(generation.request, total)
            return await off_loop(size, generate_response, generation.request, answers, total)

    async def GenerateStream(
        self, request: inference_pb2.GenerateRequest, call: Call
    ) -> AsyncGenerator[inference_pb2.GenerateStreamResponse]:
        """Yields a message for each event of the completions of a prompt."""
        ask = await off_loop(request.ByteSize(), read_generate, request, self._limits)
        async with self._generations.open(ask, call, streamed=True) as generation:
            writer = GenerateWriter(generation.request)
            async for event in generation:
                yield writer.part(event)

    async def Chat(self, request: inference_pb2.ChatRequest, call: Call) -> inference_pb2.ChatResponse:
        """Returns the answers to a chat."""
        ask = await off_loop(request.ByteSize(), read_chat, request, self._limits)
        async with self._generations.open(ask, call, streamed=False) as generation:
            answers, total = await generation.whole()
            size = written_size(generation.request, total)
            return await off_loop(size, chat_response, generation.request, answers, total)

    async def ChatStream(
        self, request: inference_pb2.ChatRequest, call: Call
    ) -> AsyncGenerator[inference_pb2.ChatStreamResponse]:
        """Yields a message for each event of the answers to a chat."""
        ask = await off_loop(request.ByteSize(), read_chat, request, self._limits)
        async with self._generations.open(ask, call, streamed=True) as generation:
            writer = ChatWriter(generation.request)
            async for event in generation:
                yield writer.part(event)
