"""OpenAIFileService: `/v1/files`."""

from collections.abc import AsyncGenerator, AsyncIterator

from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_files_pb2, openai_files_pb2_grpc
from llm_inference_api.api.bodies import json_body
from llm_inference_api.api.openai.batches.form import FileForm, Upload
from llm_inference_api.api.openai.batches.objects import deleted_object, file_object, page_object
from llm_inference_api.api.openai.batches.params import checked_lifetime
from llm_inference_api.api.openai.list_params import is_newest_first, page_length
from llm_inference_api.batches.files import ListPage
from llm_inference_api.batches.records import Line, StoredFile
from llm_inference_api.batches.store import Store
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop

Messages = AsyncIterator[openai_files_pb2.CreateFileRequest]
_BYTES = "application/octet-stream"
_PART = 1 << 20
"""Bytes of a file in one message, as clients of gRPC take no message above 4 MiB by default."""
_KEPT = 1 << 20
"""Bytes of an upload that are held before they are stored."""
LARGEST_PAGE = 10_000
"""Maximum, and default, number of files in a page, as OpenAI's."""


class OpenAIFileServicer(openai_files_pb2_grpc.OpenAIFileServiceServicer):
    """Translates between HTTP bodies and the store."""

    def __init__(self, store: Store, timeouts: Timeouts) -> None:
        self._store = store
        self._timeouts = timeouts

    async def CreateFile(self, requests: Messages, call: Call) -> openai_files_pb2.CreateFileResponse:
        """Returns the HTTP body of `POST /v1/files`, once the form has been read and its file stored."""
        async with self._timeouts.within(call):
            file = await self._received(requests, call.caller)
        return openai_files_pb2.CreateFileResponse(http_body=json_body(file_object(file)))

    async def _received(self, requests: Messages, caller: str) -> StoredFile:
        incoming = _IncomingFile(self._store, caller)
        try:
            upload = await self._stored(incoming, requests)
            return await incoming.finish(upload)
        except BaseException:
            await incoming.discard()
            raise

    async def _stored(self, incoming: "_IncomingFile", requests: Messages) -> Upload:
        form: FileForm | None = None
        lines: list[Line] = []
        held = 0
        async for request in requests:
            data = request.http_body.data
            form = form or FileForm(request.http_body.content_type)
            found = await off_loop(len(data), form.feed, data)
            lines += found
            held += sum(len(line.data) for line in found)
            if held >= _KEPT:
                await incoming.append(lines)
                lines, held = [], 0
        if form is None:
            raise InvalidFieldError("body", "is empty; it must be a form of the type multipart/form-data")
        upload = form.end()
        if upload.lifetime is not None:
            checked_lifetime("expires_after[seconds]", upload.lifetime, self._store.bounds.lifetime)
        await incoming.append(lines)
        return upload

    async def ListFiles(
        self, request: openai_files_pb2.ListFilesRequest, call: Call
    ) -> openai_files_pb2.ListFilesResponse:
        """Returns the HTTP body of `GET /v1/files`."""
        limit = page_length(request.limit if request.HasField("limit") else None, LARGEST_PAGE, LARGEST_PAGE)
        newest_first = is_newest_first(request.order if request.HasField("order") else None)
        page = ListPage(limit, request.after, newest_first=newest_first)
        found, has_more = await self._store.do(self._store.files.page, call.caller, page, request.purpose)
        body = json_body(page_object([file_object(file) for file in found], has_more=has_more))
        return openai_files_pb2.ListFilesResponse(http_body=body)

    async def GetFile(self, request: openai_files_pb2.GetFileRequest, call: Call) -> openai_files_pb2.GetFileResponse:
        """Returns the HTTP body of `GET /v1/files/{id}`."""
        file = await self._store.do(self._store.files.get, call.caller, request.file_id)
        return openai_files_pb2.GetFileResponse(http_body=json_body(file_object(file)))

    async def GetFileContent(
        self, request: openai_files_pb2.GetFileContentRequest, call: Call
    ) -> AsyncGenerator[openai_files_pb2.GetFileContentResponse]:
        """Yields the HTTP body of `GET /v1/files/{id}/content`: the file's bytes."""
        file = await self._store.do(self._store.files.get, call.caller, request.file_id)
        after = 0
        while lines := await self._store.do(self._store.files.read, file.number, after):
            after = lines[-1].number
            data = b"".join(line.data for line in lines)
            for at in range(0, len(data), _PART):
                body = HttpBody(content_type=_BYTES, data=data[at : at + _PART])
                yield openai_files_pb2.GetFileContentResponse(http_body=body)

    async def DeleteFile(
        self, request: openai_files_pb2.DeleteFileRequest, call: Call
    ) -> openai_files_pb2.DeleteFileResponse:
        """Returns the HTTP body of `DELETE /v1/files/{id}`."""
        await self._store.do(self._store.files.delete, call.caller, request.file_id)
        return openai_files_pb2.DeleteFileResponse(http_body=json_body(deleted_object(request.file_id)))


class _IncomingFile:
    """A file that is being stored; nothing of it is written before its first lines are known to be good."""

    def __init__(self, store: Store, caller: str) -> None:
        self._store = store
        self._caller = caller
        self._number: int | None = None

    async def append(self, lines: list[Line]) -> None:
        if self._number is None:
            self._number = await self._store.do(self._store.files.begin, self._caller)
        await self._store.do(self._store.files.append, self._number, lines)

    async def finish(self, upload: Upload) -> StoredFile:
        assert self._number is not None
        return await self._store.do(self._store.files.finish, self._number, upload.name, upload.lifetime)

    async def discard(self) -> None:
        if self._number is not None:
            await self._store.do(self._store.files.discard, self._number)
