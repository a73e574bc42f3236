"""OllamaService: the paths of Ollama's API."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import ollama_pb2, ollama_pb2_grpc
from llm_inference_api.api.bodies import JSON, Strict, check_values, json_body, whole_bodies
from llm_inference_api.api.ollama.models import ModelList, model_id
from llm_inference_api.api.ollama.params import (
    ChatParams,
    EmbedParams,
    EmbedPromptParams,
    GenerateParams,
    PullParams,
    ShowParams,
    parse,
)
from llm_inference_api.api.ollama.pulling import PULLED, pull
from llm_inference_api.api.ollama.reading import read_chat, read_embed, read_embed_prompt, read_generate
from llm_inference_api.api.ollama.writers import (
    LINES,
    LOADED,
    UNLOADED,
    AnswerWriter,
    DocumentShape,
    chat_shape,
    embed_document,
    embed_prompt_document,
    generate_shape,
    line,
)
from llm_inference_api.errors import InvalidFieldError, UnsupportedError
from llm_inference_api.generation.generation import Generations
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.models.model import Model
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.inquiry import Embed, Embeddings, Tokenize
from llm_inference_api.requests.limits import Limits, shown
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

VERSION = "0.13.0"
"""Of Ollama, whose API this is; clients ask for it to find out what they may send."""
RUNNING = b"Ollama is running"
"""What Ollama answers at `/`; its clients compare it."""
_TEXT = "text/plain; charset=utf-8"
_NOTHING = Tokenize("", add_special=False, parse_special=False)
"""Asks nothing of a model but that it be loaded, as any request does."""

_SETTINGS = (
    "the service's models are its settings (LLM_ALLOWED_MODELS); requests cannot create, copy, push or delete them"
)

AskedParams = ChatParams | GenerateParams | EmbedParams | EmbedPromptParams
Params = TypeVar("Params", bound=Strict)
Ask = TypeVar("Ask")


class OllamaServicer(ollama_pb2_grpc.OllamaServiceServicer):
    """Translates between HTTP bodies and generations, inquiries and model statuses."""

    def __init__(
        self,
        generations: Generations,
        inquiries: Inquiries,
        registry: Registry,
        limits: Limits,
        idle_unload: float | None = None,
    ) -> None:
        """Creates a servicer; `idle_unload` is the time in seconds after which an idle model leaves the memory."""
        self._generations = generations
        self._inquiries = inquiries
        self._registry = registry
        self._limits = limits
        self._models = ModelList(registry, idle_unload)

    async def OllamaChat(
        self, request: ollama_pb2.OllamaChatRequest, call: Call
    ) -> AsyncGenerator[ollama_pb2.OllamaChatResponse]:
        """Yields the HTTP body of `POST /api/chat`: lines, or one JSON document without `stream`."""
        params, ask = await self._read(ChatParams, request.http_body.data, self._chat)
        async with aclosing(self._answer(params, ask, chat_shape, call)) as bodies:
            async for body in bodies:
                yield ollama_pb2.OllamaChatResponse(http_body=body)

    async def OllamaGenerate(
        self, request: ollama_pb2.OllamaGenerateRequest, call: Call
    ) -> AsyncGenerator[ollama_pb2.OllamaGenerateResponse]:
        """Yields the HTTP body of `POST /api/generate`: lines, or one JSON document without `stream`."""
        params, ask = await self._read(GenerateParams, request.http_body.data, self._prompt)
        async with aclosing(self._answer(params, ask, generate_shape, call)) as bodies:
            async for body in bodies:
                yield ollama_pb2.OllamaGenerateResponse(http_body=body)

    async def OllamaEmbed(self, request: ollama_pb2.OllamaEmbedRequest, call: Call) -> ollama_pb2.OllamaEmbedResponse:
        """Returns the HTTP body of `POST /api/embed`."""
        params, embed = await self._read(EmbedParams, request.http_body.data, _texts)
        found = await self._embed(params, embed, call)
        seconds = time.monotonic() - call.started_at
        name = params.model or self._served("").status.id
        data = await asyncio.to_thread(embed_document, name, found, seconds)
        return ollama_pb2.OllamaEmbedResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def OllamaEmbedPrompt(
        self, request: ollama_pb2.OllamaEmbedPromptRequest, call: Call
    ) -> ollama_pb2.OllamaEmbedPromptResponse:
        """Returns the HTTP body of `POST /api/embeddings`."""
        params, embed = await self._read(EmbedPromptParams, request.http_body.data, _text)
        data = embed_prompt_document(await self._embed(params, embed, call))
        return ollama_pb2.OllamaEmbedPromptResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def ListOllamaModels(
        self, request: ollama_pb2.ListOllamaModelsRequest, call: Call
    ) -> ollama_pb2.ListOllamaModelsResponse:
        """Returns the HTTP body of `GET /api/tags`."""
        return ollama_pb2.ListOllamaModelsResponse(http_body=json_body(self._models.tags()))

    async def ListLoadedOllamaModels(
        self, request: ollama_pb2.ListLoadedOllamaModelsRequest, call: Call
    ) -> ollama_pb2.ListLoadedOllamaModelsResponse:
        """Returns the HTTP body of `GET /api/ps`."""
        return ollama_pb2.ListLoadedOllamaModelsResponse(http_body=json_body(self._models.loaded()))

    async def ShowOllamaModel(
        self, request: ollama_pb2.ShowOllamaModelRequest, call: Call
    ) -> ollama_pb2.ShowOllamaModelResponse:
        """Returns the HTTP body of `POST /api/show`."""
        _, name = await self._read(ShowParams, request.http_body.data, _name)
        if self._served(name).status.info is None:
            await self._load(name, call)
        return ollama_pb2.ShowOllamaModelResponse(http_body=json_body(self._models.shown(self._id(name))))

    async def PullOllamaModel(
        self, request: ollama_pb2.PullOllamaModelRequest, call: Call
    ) -> AsyncGenerator[ollama_pb2.PullOllamaModelResponse]:
        """Yields the HTTP body of `POST /api/pull`: lines, or one JSON document without `stream`."""
        params, name = await self._read(PullParams, request.http_body.data, _name)
        model = self._served(name)
        if not params.stream:
            await model.download()
            yield ollama_pb2.PullOllamaModelResponse(http_body=json_body(PULLED))
            return
        async with aclosing(pull(model)) as reports:
            async for report in reports:
                yield ollama_pb2.PullOllamaModelResponse(http_body=_lines_body(line(report)))

    async def ChangeOllamaModels(
        self, request: ollama_pb2.ChangeOllamaModelsRequest, call: Call
    ) -> ollama_pb2.ChangeOllamaModelsResponse:
        """Raises UnsupportedError."""
        raise UnsupportedError("MODELS_ARE_SETTINGS", _SETTINGS)

    async def GetOllamaVersion(
        self, request: ollama_pb2.GetOllamaVersionRequest, call: Call
    ) -> ollama_pb2.GetOllamaVersionResponse:
        """Returns the HTTP body of `GET /api/version`."""
        return ollama_pb2.GetOllamaVersionResponse(http_body=json_body({"version": VERSION}))

    async def GetOllamaStatus(
        self, request: ollama_pb2.GetOllamaStatusRequest, call: Call
    ) -> ollama_pb2.GetOllamaStatusResponse:
        """Returns the HTTP body of `GET /`."""
        return ollama_pb2.GetOllamaStatusResponse(http_body=HttpBody(content_type=_TEXT, data=RUNNING))

    async def _read(self, kind: type[Params], body: bytes, ask: Callable[[Params], Ask]) -> tuple[Params, Ask]:
        """Returns a body's parameters, and what they ask for."""
        await check_values(body)

        def read() -> tuple[Params, Ask]:
            params = parse(kind, body)
            return params, ask(params)

        return await off_loop(len(body), read)

    def _chat(self, params: ChatParams) -> GenerationRequest | None:
        return read_chat(params, self._limits, self._id(params.model)) if params.messages else None

    def _prompt(self, params: GenerateParams) -> GenerationRequest | None:
        if not params.prompt and not params.suffix:
            return None
        return read_generate(params, self._limits, self._id(params.model))

    async def _answer(
        self, params: ChatParams | GenerateParams, ask: GenerationRequest | None, shape: DocumentShape, call: Call
    ) -> AsyncGenerator[HttpBody]:
        """Yields the bodies of an answer; without a question, of that the model was loaded or is to leave."""
        name = params.model or self._served("").status.id
        writer = AnswerWriter(name, shape, call.started_at)
        if ask is None:
            yield json_body(writer.without_words(await self._load_or_unload(params, call)))
            return
        await self._check_context(params, call)
        async with self._generations.open(ask, call, streamed=params.stream) as generation:
            if params.stream:
                async for event in generation:
                    if lines := writer.part(event):
                        yield _lines_body(lines)
            else:
                for part in await whole_bodies(writer, generation):
                    yield part
        await self._unload_if_asked(params)

    async def _embed(self, params: EmbedParams | EmbedPromptParams, embed: Embed | None, call: Call) -> Embeddings:
        """Returns the vectors; none without texts, where the model was loaded or is to leave."""
        if embed is None:
            await self._load_or_unload(params, call)
            return ()
        await self._check_context(params, call)
        _, found = await self._inquiries.embed(self._id(params.model), embed, call)
        await self._unload_if_asked(params)
        return found

    async def _load_or_unload(self, params: AskedParams, call: Call) -> str:
        """Loads the model, or unloads it where it may not stay; returns which."""
        if await self._unload_if_asked(params):
            return UNLOADED
        await self._load(params.model, call)
        return LOADED

    async def _load(self, name: str, call: Call) -> None:
        """Loads a model as any request does that names it: by one that asks nothing."""
        await self._inquiries.inquire(self._served(name).status.id, _NOTHING, call)

    async def _unload_if_asked(self, params: AskedParams) -> bool:
        """Unloads the model if it may not stay in memory, once no request uses it. Returns whether that is so."""
        if params.keep_alive is not False:
            return False
        await self._served(params.model).unload()
        return True

    async def _check_context(self, params: AskedParams, call: Call) -> None:
        """Raises InvalidFieldError if the client counts on a larger context than the model has."""
        asked = params.options.num_ctx
        if asked is None:
            return
        model = self._served(params.model)
        if model.status.context_length is None:
            await self._load(params.model, call)
        length = model.status.context_length
        if length is not None and not 1 <= asked <= length:
            problem = f"must be from 1 to {length}, the model's context here (LLM_CONTEXT_LENGTH), not {shown(asked)}"
            raise InvalidFieldError("options.num_ctx", problem)

    def _id(self, name: str) -> str:
        return model_id(self._registry, name)

    def _served(self, name: str) -> Model:
        """Returns the model with this name, also where it names an adapter too. Raises as `Registry.get`."""
        return self._registry.get(self._registry.adapted(self._id(name))[0])


def _name(params: ShowParams | PullParams) -> str:
    return params.named


def _texts(params: EmbedParams) -> Embed | None:
    return read_embed(params) if params.input else None


def _text(params: EmbedPromptParams) -> Embed | None:
    return read_embed_prompt(params) if params.prompt else None


def _lines_body(lines: bytes) -> HttpBody:
    return HttpBody(content_type=LINES, data=lines)
