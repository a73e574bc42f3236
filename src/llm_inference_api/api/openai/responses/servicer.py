"""ResponsesService: the endpoints below `/v1/responses`."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple, NoReturn

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import responses_pb2, responses_pb2_grpc
from llm_inference_api.api.bodies import JSON, Json, check_values, events_body, json_bodies, json_body, large_document
from llm_inference_api.api.openai.responses.document import ResponseDocument
from llm_inference_api.api.openai.responses.history import History
from llm_inference_api.api.openai.responses.item_list import item_list
from llm_inference_api.api.openai.responses.params import InputTokensParams, ResponseParams, parse
from llm_inference_api.api.openai.responses.prompts import Prompts
from llm_inference_api.api.openai.responses.reading import caller_names, read_response
from llm_inference_api.api.openai.responses.store import ResponseStore
from llm_inference_api.api.openai.responses.writer import ResponseWriter
from llm_inference_api.errors import InvalidFieldError, WriteTimeoutError
from llm_inference_api.generation.generation import Generation, Generations
from llm_inference_api.requests.limits import Limits
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop, written_size


class _Asked(NamedTuple):
    """A request, and what its response says of it."""

    params: ResponseParams
    request: GenerationRequest
    items: Sequence[Json]
    """The input items, without those of earlier responses."""
    is_stored: bool


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
        body = request.http_body.data
        await check_values(body)
        params = await off_loop(len(body), parse, ResponseParams, body)
        ask, given = await self._read(params, len(body), call)
        asked = _Asked(params, ask, given, self._store.keeps and params.store is not False)
        if not params.stream:
            data = await self._whole(asked, call)
            for part in json_bodies(data):
                yield responses_pb2.CreateResponseResponse(http_body=part)
            return
        async with aclosing(self._streamed(asked, call)) as events:
            async for event in events:
                yield responses_pb2.CreateResponseResponse(http_body=events_body(event))

    async def CountInputTokens(
        self, request: responses_pb2.CountInputTokensRequest, call: Call
    ) -> responses_pb2.CountInputTokensResponse:
        """Returns the HTTP body of `POST /v1/responses/input_tokens`."""
        body = request.http_body.data
        await check_values(body)
        params = await off_loop(len(body), parse, InputTokensParams, body)
        ask, _ = await self._read(params, len(body), call)
        with caller_names():
            tokens = await self._prompts.count(ask, call)
        counted = {"object": "response.input_tokens", "input_tokens": tokens}
        return responses_pb2.CountInputTokensResponse(http_body=json_body(counted))

    async def GetResponse(
        self, request: responses_pb2.GetResponseRequest, call: Call
    ) -> responses_pb2.GetResponseResponse:
        """Returns the HTTP body of `GET /v1/responses/{id}`."""
        found = await self._store.get(call.caller, request.response_id)
        return responses_pb2.GetResponseResponse(http_body=HttpBody(content_type=JSON, data=found))

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
        return responses_pb2.ListInputItemsResponse(http_body=json_body(item_list(items, request)))

    async def _read(
        self, params: ResponseParams | InputTokensParams, size: int, call: Call
    ) -> tuple[GenerationRequest, Sequence[Json]]:
        """Returns the request of a body of this size, and its own items."""
        items = await self._history.items(params, size, call.caller)
        ask = await off_loop(size, read_response, params, items.all, self._limits)
        if params.truncation == "auto":
            with caller_names():
                ask = await self._prompts.fitted(ask, call)
        return ask, items.given

    async def _whole(self, asked: _Asked, call: Call) -> bytes:
        with caller_names():
            async with self._generations.open(asked.request, call, streamed=False) as generation:
                writer = _writer(asked, generation)
                answers, total = await generation.whole()
        size = written_size(asked.request, total)
        found = await off_loop(size, writer.whole, answers, total)
        await self._keep(asked, found, call)
        return await off_loop(size, large_document, found)

    async def _streamed(self, asked: _Asked, call: Call) -> AsyncGenerator[bytes]:
        """Yields server-sent events. An error after the first one is the last one, and raised."""
        writer = None
        try:
            with caller_names():
                async with self._generations.open(asked.request, call, streamed=True) as generation:
                    async for event in generation:
                        writer = writer or _writer(asked, generation)
                        events = writer.part(event)
                        await self._keep(asked, writer.ended, call)
                        yield events
        except Exception as error:
            if writer is not None and not isinstance(error, WriteTimeoutError):
                yield writer.failed(error)
            raise

    async def _keep(self, asked: _Asked, response: Json | None, call: Call) -> None:
        if response is not None and asked.is_stored:
            await self._store.save(call.caller, response, asked.items)


def _writer(asked: _Asked, generation: Generation) -> ResponseWriter:
    return ResponseWriter(ResponseDocument(asked.params, generation.request, is_stored=asked.is_stored))
