"""Serves `/v1`: OpenAI's JSON is translated, and answered as the typed API would."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_pb2, openai_pb2_grpc
from llm_inference_api import __version__
from llm_inference_api.api.native import translation
from llm_inference_api.api.native.embeddings import checked
from llm_inference_api.api.native.translation import Defaults
from llm_inference_api.api.openai import wire
from llm_inference_api.api.openai.requests import ChatCompletionParams, CompletionParams, EmbeddingParams, parse
from llm_inference_api.api.openai.responses import (
    DONE,
    SILENCE,
    ChatFormat,
    CompletionFormat,
    Format,
    Header,
    Json,
    document,
    embedding_document,
    event,
)
from llm_inference_api.generation.answers import Answers, Question, new_id
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.request import Delta
from llm_inference_api.rpc.call import Call

Params = ChatCompletionParams | CompletionParams

JSON = "application/json"
EVENTS = "text/event-stream"


class OpenAIServicer(openai_pb2_grpc.OpenAIServiceServicer):  # type: ignore[misc]
    """Translates between HTTP bodies and models."""

    def __init__(self, answers: Answers, defaults: Defaults, registry: Registry) -> None:
        self._answers = answers
        self._defaults = defaults
        self._registry = registry
        self._started = int(time.time())

    async def CreateChatCompletion(
        self, request: openai_pb2.CreateChatCompletionRequest, call: Call
    ) -> AsyncGenerator[openai_pb2.CreateChatCompletionResponse]:
        """Answers a chat."""
        params = parse(ChatCompletionParams, request.http_body.data)
        async with aclosing(self._respond(params, ChatFormat(), call)) as bodies:
            async for body in bodies:
                yield openai_pb2.CreateChatCompletionResponse(http_body=body)

    async def CreateCompletion(
        self, request: openai_pb2.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[openai_pb2.CreateCompletionResponse]:
        """Continues a prompt."""
        params = parse(CompletionParams, request.http_body.data)
        async with aclosing(self._respond(params, CompletionFormat(), call)) as bodies:
            async for body in bodies:
                yield openai_pb2.CreateCompletionResponse(http_body=body)

    async def CreateEmbedding(
        self, request: openai_pb2.CreateEmbeddingRequest, call: Call
    ) -> openai_pb2.CreateEmbeddingResponse:
        """Returns vectors for texts."""
        params = parse(EmbeddingParams, request.http_body.data)
        embed = checked("input", params.input)
        model = self._answers.model(params.model)
        found = await self._answers.embed(model, embed, call)
        in_base64 = params.encoding_format == "base64"
        data = await asyncio.to_thread(embedding_document, model.status.id, found, in_base64=in_base64)
        return openai_pb2.CreateEmbeddingResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def ListOpenAIModels(
        self, request: openai_pb2.ListOpenAIModelsRequest, call: Call
    ) -> openai_pb2.ListOpenAIModelsResponse:
        """Lists all models."""
        models = [self._model(status) for status in self._registry.statuses()]
        return openai_pb2.ListOpenAIModelsResponse(http_body=_json({"object": "list", "data": models}))

    async def GetOpenAIModel(
        self, request: openai_pb2.GetOpenAIModelRequest, call: Call
    ) -> openai_pb2.GetOpenAIModelResponse:
        """Returns one model."""
        model = self._registry.get(request.model)
        return openai_pb2.GetOpenAIModelResponse(http_body=_json(self._model(model.status)))

    def _model(self, status: ModelStatus) -> Json:
        return {"id": status.id, "object": "model", "created": self._started, "owned_by": "llm-inference-api"}

    async def _respond(self, params: Params, form: Format, call: Call) -> AsyncGenerator[HttpBody]:
        with wire.openai_names(params):
            question = self._question(params)
            if not params.stream:
                deltas = await self._answers.whole(question, call)
                yield _json(form.whole(_header(question), deltas))
                return
            async with aclosing(self._events(question, form, call, with_usage=params.wants_usage)) as events:
                async for data in events:
                    yield HttpBody(content_type=EVENTS, data=data)

    async def _events(self, question: Question, form: Format, call: Call, *, with_usage: bool) -> AsyncGenerator[bytes]:
        begun: set[int] = set()
        async with aclosing(self._answers.parts(question, call)) as items:
            async for item in items:
                if not isinstance(item, Delta):
                    yield SILENCE
                    continue
                header = _header(question)
                chunks = list(form.chunks(header, item, is_first=item.answer not in begun))
                begun.add(item.answer)
                # With the usage wanted at the end, OpenAI's other chunks say that they have none.
                yield b"".join(event({**chunk, "usage": None} if with_usage else chunk) for chunk in chunks)
                if item.usage:
                    yield event(form.usage_chunk(header, item.usage)) + DONE if with_usage else DONE

    def _question(self, params: Params) -> Question:
        model = self._answers.model(params.model)
        if isinstance(params, ChatCompletionParams):
            chat = wire.chat_request(params)
            return Question(
                model, translation.chat_request(chat, new_id("chatcmpl"), self._defaults), translation.answers(chat)
            )
        prompt = wire.generate_request(params)
        return Question(
            model, translation.generate_request(prompt, new_id("cmpl"), self._defaults), translation.answers(prompt)
        )


def _header(question: Question) -> Header:
    status = question.model.status
    return Header(question.request.id, question.created, status.id, _fingerprint(status))


def _fingerprint(status: ModelStatus) -> str:
    """Returns the same text as long as the same software computes the same model."""
    what = f"{__version__} {status.id} {status.source} {status.info.description if status.info else ''}"
    return "fp_" + hashlib.sha256(what.encode()).hexdigest()[:12]


def _json(value: Json) -> HttpBody:
    return HttpBody(content_type=JSON, data=document(value))
