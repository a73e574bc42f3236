"""ResponsesService: the endpoints below `/v1/responses`."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple, NoReturn, TypeVar

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import responses_pb2, responses_pb2_grpc
from llm_inference_api.api.bodies import EVENTS, JSON, Json, check_values, in_parts, json_body, whole_bodies
from llm_inference_api.api.openai.responses.document import ResponseDocument
from llm_inference_api.api.openai.responses.params import InputTokensParams, ResponseParams, parse
from llm_inference_api.api.openai.responses.prompts import Prompts
from llm_inference_api.api.openai.responses.reading import caller_names, read_response
from llm_inference_api.api.openai.responses.storage.history import History
from llm_inference_api.api.openai.responses.storage.item_list import item_list
from llm_inference_api.api.openai.responses.storage.store import ResponseStore
from llm_inference_api.api.openai.responses.storage.stored_items import stored_output
from llm_inference_api.api.openai.responses.tools import CallName, Function, functions_of
from llm_inference_api.api.openai.responses.writer import ResponseWriter
from llm_inference_api.errors import InvalidFieldError, WriteTimeoutError
from llm_inference_api.generation.generation import Generation, Generations
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

Params = TypeVar("Params", ResponseParams, InputTokensParams)


class _Asked(NamedTuple):
    """A request, and what its response says of it."""

    request: GenerationRequest
    size: int
    """Bytes of the body."""
    items: Sequence[Json]
    """The input items, without those of earlier responses."""
    calls: Mapping[str, CallName]
    """What calls say that they call, by the name that the model has for it."""


class ResponsesServicer(responses_pb2_grpc.ResponsesServiceServicer):
    """Translates between HTTP bodies and generations, and keeps responses."""

    def __init__(self, generations: Generations, prompts: Prompts, store: ResponseStore, limits: Limits) -> None:
        self._generations = generations
        self._prompts = prompts
        self._store = store
        self._history = History(store)
        self._limits = limits

    async def CreateResponse(
        self, request: responses_pb2.CreateResponseRequest, call: Call
    ) -> AsyncGenerator[responses_pb2.CreateResponseResponse]:
        """Yields the HTTP body of `POST /v1/responses`: one JSON document, or SSE parts with `stream`."""
        params, asked = await self._read(ResponseParams, request.http_body.data, call)
        write = self._streamed if params.stream else self._whole
        async with aclosing(write(params, asked, call)) as parts:
            async for part in parts:
                yield responses_pb2.CreateResponseResponse(http_body=part)

    async def CountInputTokens(
        self, request: responses_pb2.CountInputTokensRequest, call: Call
    ) -> responses_pb2.CountInputTokensResponse:
        """Returns the HTTP body of `POST /v1/responses/input_tokens`."""
        _, asked = await self._read(InputTokensParams, request.http_body.data, call)
        with caller_names():
            tokens = await self._prompts.count(asked.request, call)
        counted = {"object": "response.input_tokens", "input_tokens": tokens}
        return responses_pb2.CountInputTokensResponse(http_body=json_body(counted))

    async def GetResponse(
        self, request: responses_pb2.GetResponseRequest, call: Call
    ) -> AsyncGenerator[responses_pb2.GetResponseResponse]:
        """Yields the HTTP body of `GET /v1/responses/{id}`."""
        for part in in_parts(JSON, await self._store.get(call.caller, request.response_id)):
            yield responses_pb2.GetResponseResponse(http_body=part)

    async def DeleteResponse(
        self, request: responses_pb2.DeleteResponseRequest, call: Call
    ) -> responses_pb2.DeleteResponseResponse:
        """Returns the HTTP body of `DELETE /v1/responses/{id}`."""
        await self._store.delete(call.caller, request.response_id)
        deleted = {"id": request.response_id, "object": "response", "deleted": True}
        return responses_pb2.DeleteResponseResponse(http_body=json_body(deleted))

    async def CancelResponse(self, request: responses_pb2.CancelResponseRequest, call: Call) -> NoReturn:
        """Raises an error: a stored response has ended.

        Raises:
            UnknownResponseError: There is no such response.
            InvalidFieldError: There is one.
        """
        await self._store.get(call.caller, request.response_id)
        problem = "is of a response that has ended; a request is cancelled by closing its connection"
        raise InvalidFieldError("response_id", problem)

    async def ListInputItems(
        self, request: responses_pb2.ListInputItemsRequest, call: Call
    ) -> responses_pb2.ListInputItemsResponse:
        """Returns the HTTP body of `GET /v1/responses/{id}/input_items`."""
        items = await self._store.input_items(call.caller, request.response_id)
        data = await off_loop(sum(map(len, items)), item_list, items, request)
        return responses_pb2.ListInputItemsResponse(http_body=HttpBody(content_type=JSON, data=data))

    async def _read(self, kind: type[Params], body: bytes, call: Call) -> tuple[Params, _Asked]:
        """Returns the request of a body. Raises InvalidFieldError."""
        await check_values(body)
        size = len(body)
        params, functions = await off_loop(size, _parsed, kind, body)
        items = await self._history.items(params, size, call.caller)
        ask = await off_loop(items.size, read_response, params, items.all, functions, self._limits)
        if params.truncation == "auto":
            with caller_names():
                ask = await self._prompts.fitted(ask, call)
        return params, _Asked(ask, size, items.given, {function.called.full: function.called for function in functions})

    async def _whole(self, params: ResponseParams, asked: _Asked, call: Call) -> AsyncGenerator[HttpBody]:
        """Yields the parts of the response object."""
        with caller_names():
            async with self._generations.open(asked.request, call, streamed=False) as generation:
                writer = self._writer(params, asked, generation)
                parts = await whole_bodies(writer, generation)
        await self._keep(params, asked, writer.ended, call)
        for part in parts:
            yield part

    async def _streamed(self, params: ResponseParams, asked: _Asked, call: Call) -> AsyncGenerator[HttpBody]:
        """Yields server-sent events. An error after the first one is the last one, and raised."""
        writer = None
        try:
            with caller_names():
                async with self._generations.open(asked.request, call, streamed=True) as generation:
                    async for event in generation:
                        writer = writer or self._writer(params, asked, generation)
                        events = await off_loop(writer.size(event), writer.part, event)
                        await self._keep(params, asked, writer.ended, call)
                        for part in in_parts(EVENTS, events):
                            yield part
        except Exception as error:
            if writer is not None and not isinstance(error, WriteTimeoutError):
                for part in in_parts(EVENTS, writer.failed(error)):
                    yield part
            raise

    async def _keep(self, params: ResponseParams, asked: _Asked, response: Json | None, call: Call) -> None:
        if response is not None and self._is_kept(params):
            await self._store.save(call.caller, response, asked.items, [*map(stored_output, response["output"])])

    def _is_kept(self, params: ResponseParams) -> bool:
        return self._store.keeps and params.store is not False

    def _writer(self, params: ResponseParams, asked: _Asked, generation: Generation) -> ResponseWriter:
        response = ResponseDocument(params, generation.request, is_stored=self._is_kept(params))
        return ResponseWriter(response, asked.calls, asked.size)


def _parsed(kind: type[Params], body: bytes) -> tuple[Params, list[Function]]:
    params = parse(kind, body)
    return params, functions_of(params.tools)
