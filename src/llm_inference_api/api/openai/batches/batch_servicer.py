"""OpenAIBatchService: `/v1/batches`."""

from collections.abc import Collection

from llm_inference.v1 import openai_batches_pb2, openai_batches_pb2_grpc
from llm_inference_api.api.bodies import check_values, json_body
from llm_inference_api.api.openai.batches.objects import batch_object, page_object
from llm_inference_api.api.openai.batches.params import (
    WINDOW_SECONDS,
    BatchParams,
    checked_lifetime,
    parse,
)
from llm_inference_api.api.openai.list_params import page_length
from llm_inference_api.batches.files import ListPage
from llm_inference_api.batches.records import BatchRequest
from llm_inference_api.batches.runner import Runner
from llm_inference_api.batches.store import Store
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

PAGE, LARGEST_PAGE = 20, 100
"""Default and maximum number of batches in a page, as OpenAI's."""


class OpenAIBatchServicer(openai_batches_pb2_grpc.OpenAIBatchServiceServicer):
    """Translates between HTTP bodies, the store and the runner."""

    def __init__(self, store: Store, runner: Runner, endpoints: Collection[str]) -> None:
        self._store = store
        self._runner = runner
        self._endpoints = endpoints

    async def CreateBatch(
        self, request: openai_batches_pb2.CreateBatchRequest, call: Call
    ) -> openai_batches_pb2.CreateBatchResponse:
        """Returns the HTTP body of `POST /v1/batches`."""
        body = request.http_body.data
        await check_values(body)
        params = await off_loop(len(body), parse, body)
        batch = await self._store.do(self._store.batches.create, self._asked(params, call.caller))
        self._runner.run(batch)
        return openai_batches_pb2.CreateBatchResponse(http_body=json_body(batch_object(batch)))

    async def ListBatches(
        self, request: openai_batches_pb2.ListBatchesRequest, call: Call
    ) -> openai_batches_pb2.ListBatchesResponse:
        """Returns the HTTP body of `GET /v1/batches`."""
        limit = page_length(request.limit if request.HasField("limit") else None, PAGE, LARGEST_PAGE)
        page = ListPage(limit, request.after)
        found, has_more = await self._store.do(self._store.batches.page, call.caller, page)
        body = json_body(page_object([batch_object(batch) for batch in found], has_more=has_more))
        return openai_batches_pb2.ListBatchesResponse(http_body=body)

    async def GetBatch(
        self, request: openai_batches_pb2.GetBatchRequest, call: Call
    ) -> openai_batches_pb2.GetBatchResponse:
        """Returns the HTTP body of `GET /v1/batches/{id}`."""
        batch = await self._store.do(self._store.batches.get, call.caller, request.batch_id)
        return openai_batches_pb2.GetBatchResponse(http_body=json_body(batch_object(batch)))

    async def CancelBatch(
        self, request: openai_batches_pb2.CancelBatchRequest, call: Call
    ) -> openai_batches_pb2.CancelBatchResponse:
        """Returns the HTTP body of `POST /v1/batches/{id}/cancel`."""
        batch = await self._store.do(self._store.batches.cancel, call.caller, request.batch_id)
        self._runner.cancel(batch)
        return openai_batches_pb2.CancelBatchResponse(http_body=json_body(batch_object(batch)))

    def _asked(self, params: BatchParams, caller: str) -> BatchRequest:
        if params.endpoint not in self._endpoints:
            raise InvalidFieldError(
                "endpoint", f"must be one of {', '.join(self._endpoints)}, not {params.endpoint!r:.100}"
            )
        lifetime = params.output_expires_after
        if lifetime is not None:
            checked_lifetime("output_expires_after.seconds", lifetime.seconds, self._store.bounds.lifetime)
        return BatchRequest(
            caller,
            params.endpoint,
            params.input_file_id,
            WINDOW_SECONDS,
            params.metadata,
            None if lifetime is None else lifetime.seconds,
        )
