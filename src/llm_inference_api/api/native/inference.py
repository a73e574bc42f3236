"""Generate and Chat, whole and streamed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from llm_inference.v1 import inference_pb2, inference_pb2_grpc
from llm_inference_api.api.native import translation
from llm_inference_api.api.native.translation import CHAT, GENERATE, Defaults, Heading, Shape
from llm_inference_api.generation.answers import Answers, Question, new_id
from llm_inference_api.requests.request import Delta
from llm_inference_api.rpc.call import Call


class InferenceServicer(inference_pb2_grpc.InferenceServiceServicer):  # type: ignore[misc]
    """Translates between RPCs and models."""

    def __init__(self, answers: Answers, defaults: Defaults) -> None:
        self._answers = answers
        self._defaults = defaults

    async def Generate(self, request: inference_pb2.GenerateRequest, call: Call) -> Any:
        """Continues a prompt."""
        return await self._whole(GENERATE, self._generation(request), call)

    async def GenerateStream(self, request: inference_pb2.GenerateRequest, call: Call) -> AsyncGenerator[Any]:
        """Continues a prompt, delta by delta."""
        async with aclosing(self._parts(GENERATE, self._generation(request), call)) as parts:
            async for part in parts:
                yield part

    async def Chat(self, request: inference_pb2.ChatRequest, call: Call) -> Any:
        """Answers a chat."""
        return await self._whole(CHAT, self._chat(request), call)

    async def ChatStream(self, request: inference_pb2.ChatRequest, call: Call) -> AsyncGenerator[Any]:
        """Answers a chat, delta by delta."""
        async with aclosing(self._parts(CHAT, self._chat(request), call)) as parts:
            async for part in parts:
                yield part

    def _generation(self, wire: inference_pb2.GenerateRequest) -> Question:
        model = self._answers.model(wire.model)
        return Question(
            model, translation.generate_request(wire, new_id("gen"), self._defaults), translation.answers(wire)
        )

    def _chat(self, wire: inference_pb2.ChatRequest) -> Question:
        model = self._answers.model(wire.model)
        return Question(
            model, translation.chat_request(wire, new_id("chat"), self._defaults), translation.answers(wire)
        )

    async def _whole(self, shape: Shape, question: Question, call: Call) -> Any:
        return translation.whole_answer(shape, _heading(question), await self._answers.whole(question, call))

    async def _parts(self, shape: Shape, question: Question, call: Call) -> AsyncGenerator[Any]:
        heading: Heading | None = _heading(question)
        async with aclosing(self._answers.parts(question, call)) as items:
            async for item in items:
                if isinstance(item, Delta):
                    yield translation.stream_delta(shape, heading, item, item.answer if question.count > 1 else None)
                    heading = None
                else:
                    yield shape.part(progress=translation.progress(item))


def _heading(question: Question) -> Heading:
    request = question.request
    return Heading(request.id, question.created, question.model.status.id, request.sampling.seed)
