"""OpenAIService: the endpoints below `/v1`."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_pb2, openai_pb2_grpc
from llm_inference_api.api.bodies import JSON, Json, check_values, document, events_body, json_body, whole_bodies
from llm_inference_api.api.openai.decision_params import DecisionParams
from llm_inference_api.api.openai.decisions import decision_object, read_decisions
from llm_inference_api.api.openai.params import (
    ChatCompletionParams,
    CompletionParams,
    EmbeddingParams,
    RerankParams,
    parse,
)
from llm_inference_api.api.openai.reading import read_chat, read_completion
from llm_inference_api.api.openai.systemone import read_systemone, systemone_object
from llm_inference_api.api.openai.systemone_params import SystemOneParams
from llm_inference_api.api.openai.writers import (
    ChatCompletionWriter,
    CompletionWriter,
    Header,
    RankingHeader,
    embedding_document,
    ranking_document,
)
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.generation.decider import Decided, Decider
from llm_inference_api.generation.generation import Generation, Generations
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.generation.several import Several
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.adapters import SEPARATOR
from llm_inference_api.requests.inquiry import Embed, Input, checked_inputs
from llm_inference_api.requests.limits import Limits, new_id
from llm_inference_api.requests.model_status import ModelStatus
from llm_inference_api.requests.ranking import Rank, checked_rank
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

Params = TypeVar("Params")


class OpenAIServicer(openai_pb2_grpc.OpenAIServiceServicer):
    """Translates between HTTP bodies and generations, inquiries and model statuses."""

    def __init__(
        self,
        generations: Generations,
        inquiries: Inquiries,
        registry: Registry,
        limits: Limits,
        decider: Decider,
    ) -> None:
        self._generations = generations
        self._inquiries = inquiries
        self._registry = registry
        self._limits = limits
        self._decider = decider
        self._started = int(time.time())

    async def CreateChatCompletion(
        self, request: openai_pb2.CreateChatCompletionRequest, call: Call
    ) -> AsyncGenerator[openai_pb2.CreateChatCompletionResponse]:
        """Yields the HTTP body of `POST /v1/chat/completions`: one JSON document, or SSE parts with `stream`."""
        body = request.http_body.data
        await check_values(body)
        params, ask = await off_loop(len(body), self._read_chat, body)
        streamed = bool(params.stream)
        async with self._generations.open(ask, call, streamed=streamed) as generation:
            writer = ChatCompletionWriter(_header(generation), with_usage=params.wants_usage)
            if not streamed:
                for part in await whole_bodies(writer, generation):
                    yield openai_pb2.CreateChatCompletionResponse(http_body=part)
                return
            async for event in generation:
                yield openai_pb2.CreateChatCompletionResponse(http_body=events_body(writer.part(event)))

    async def CreateCompletion(
        self, request: openai_pb2.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[openai_pb2.CreateCompletionResponse]:
        """Yields the HTTP body of `POST /v1/completions`: one JSON document, or SSE parts with `stream`."""
        body = request.http_body.data
        await check_values(body)
        params, asks = await off_loop(len(body), self._read_completion, body)
        streamed = bool(params.stream)
        async with self._open(asks, call, streamed=streamed) as generation:
            writer = CompletionWriter(_header(generation), with_usage=params.wants_usage)
            if not streamed:
                for part in await whole_bodies(writer, generation):
                    yield openai_pb2.CreateCompletionResponse(http_body=part)
                return
            async for event in generation:
                yield openai_pb2.CreateCompletionResponse(http_body=events_body(writer.part(event)))

    async def CreateEmbedding(
        self, request: openai_pb2.CreateEmbeddingRequest, call: Call
    ) -> openai_pb2.CreateEmbeddingResponse:
        """Returns the HTTP body of `POST /v1/embeddings`."""
        body = request.http_body.data
        await check_values(body)
        params, embed = await off_loop(len(body), _read_embedding, body)
        model, found = await self._inquiries.embed(params.model, embed, call)
        in_base64 = params.encoding_format == "base64"
        data = await asyncio.to_thread(embedding_document, model, found, in_base64=in_base64)
        return openai_pb2.CreateEmbeddingResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def CreateRerank(
        self, request: openai_pb2.CreateRerankRequest, call: Call
    ) -> openai_pb2.CreateRerankResponse:
        """Returns the HTTP body of `POST /v1/rerank`."""
        body = request.http_body.data
        await check_values(body)
        params, rank = await off_loop(len(body), _read_rerank, body)
        model, found = await self._inquiries.rank(params.model, rank, call)
        texts = [str(item.content) for item in rank.documents] if params.return_documents else []
        data = await off_loop(
            len(body), ranking_document, RankingHeader(new_id("rerank"), model, texts), found, params.top_n
        )
        return openai_pb2.CreateRerankResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def CreateDecision(
        self, request: openai_pb2.CreateDecisionRequest, call: Call
    ) -> openai_pb2.CreateDecisionResponse:
        """Returns the HTTP body of `POST /v1/decisions`."""
        data = await self._decide(request.http_body.data, call, _read_decisions, decision_object)
        return openai_pb2.CreateDecisionResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def CreateSystemOne(
        self, request: openai_pb2.CreateSystemOneRequest, call: Call
    ) -> openai_pb2.CreateSystemOneResponse:
        """Returns the HTTP body of `POST /v1/systemone`."""
        data = await self._decide(request.http_body.data, call, _read_systemone, systemone_object)
        return openai_pb2.CreateSystemOneResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def _decide(
        self,
        body: bytes,
        call: Call,
        read: Callable[[bytes], tuple[Params, Decisions]],
        write: Callable[[Params, Decided], Json],
    ) -> bytes:
        """Returns the document that answers the questions of a body."""
        await check_values(body)
        params, asked = await off_loop(len(body), read, body)
        decided = await self._decider.decide(asked, call, len(body))
        return await off_loop(len(body), lambda: document(write(params, decided)))

    async def ListOpenAIModels(
        self, request: openai_pb2.ListOpenAIModelsRequest, call: Call
    ) -> openai_pb2.ListOpenAIModelsResponse:
        """Returns the HTTP body of `GET /v1/models`."""
        models = [
            self._model(status, adapter)
            for status in self._registry.statuses()
            for adapter in (None, *self._registry.get(status.id).adapters)
        ]
        return openai_pb2.ListOpenAIModelsResponse(http_body=json_body({"object": "list", "data": models}))

    async def GetOpenAIModel(
        self, request: openai_pb2.GetOpenAIModelRequest, call: Call
    ) -> openai_pb2.GetOpenAIModelResponse:
        """Returns the HTTP body of `GET /v1/models/{id}`."""
        base, adapter = self._registry.adapted(request.model)
        model = self._registry.get(base)
        return openai_pb2.GetOpenAIModelResponse(http_body=json_body(self._model(model.status, adapter)))

    def _read_chat(self, body: bytes) -> tuple[ChatCompletionParams, GenerationRequest]:
        params = parse(ChatCompletionParams, body)
        return params, read_chat(params, self._limits)

    def _open(
        self, asks: Sequence[GenerationRequest], call: Call, *, streamed: bool
    ) -> AbstractAsyncContextManager[Generation | Several]:
        if len(asks) == 1:
            return self._generations.open(asks[0], call, streamed=streamed)
        return self._generations.open_several(asks, call, streamed=streamed)

    def _read_completion(self, body: bytes) -> tuple[CompletionParams, tuple[GenerationRequest, ...]]:
        params = parse(CompletionParams, body)
        return params, read_completion(params, self._limits)

    def _model(self, status: ModelStatus, adapter: str | None) -> Json:
        """Returns OpenAI's model object, with `max_model_len` and `parent`, as vLLM has them, and `thinking`.

        The first is null before the first load, the second unless an adapter is meant, the third while the model is not
        in memory.
        """
        return {
            "id": f"{status.id}{SEPARATOR}{adapter}" if adapter else status.id,
            "parent": status.id if adapter else None,
            "object": "model",
            "created": self._started,
            "owned_by": "llm-inference-api",
            "max_model_len": status.context_length,
            "thinking": status.info.thinking._asdict() if status.info else None,
        }


def _read_decisions(body: bytes) -> tuple[DecisionParams, Decisions]:
    params = parse(DecisionParams, body)
    return params, read_decisions(params)


def _read_systemone(body: bytes) -> tuple[SystemOneParams, Decisions]:
    params = parse(SystemOneParams, body)
    return params, read_systemone(params)


def _read_embedding(body: bytes) -> tuple[EmbeddingParams, Embed]:
    params = parse(EmbeddingParams, body)
    return params, checked_inputs("input", params.input, params.dimensions)


def _read_rerank(body: bytes) -> tuple[RerankParams, Rank]:
    params = parse(RerankParams, body)
    texts = (item if isinstance(item, str) else item.text for item in params.documents)
    documents = [Input(f"documents[{index}]", text) for index, text in enumerate(texts)]
    return params, checked_rank(params.query, documents, params.top_n)


def _header(generation: Generation | Several) -> Header:
    return Header(generation.request, lambda: generation.status)
