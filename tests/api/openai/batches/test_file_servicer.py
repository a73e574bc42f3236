"""Uploads, from the messages of a call to the store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_files_pb2
from llm_inference_api.api.openai.batches.file_servicer import OpenAIFileServicer
from llm_inference_api.batches.files import ListPage
from llm_inference_api.batches.store import Store
from llm_inference_api.errors import InvalidFieldError
from tests.fakes.batches import open_store

FORM = "multipart/form-data; boundary=x"
PURPOSE = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n{}\n\r\n--x--\r\n'


async def messages(*parts: bytes) -> AsyncIterator[openai_files_pb2.CreateFileRequest]:
    for part in parts:
        yield openai_files_pb2.CreateFileRequest(http_body=HttpBody(content_type=FORM, data=part))


async def upload(store: Store, *parts: bytes) -> Any:
    servicer = OpenAIFileServicer(store, None)  # type: ignore[arg-type]
    return await servicer._received(messages(*parts), "ana")


def count(store: Store) -> int:
    return int(store._database.connection.execute("SELECT count(*) FROM files").fetchone()[0])


async def test_file_is_stored_whole(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        file = await upload(store, PURPOSE, FILE)
        assert (file.name, file.size) == ("in.jsonl", 3)
        assert await store.do(store.files.page, "ana", ListPage(9)) == ([file], False)


@pytest.mark.parametrize("parts", [(), (b"no form",), (PURPOSE, b"--x--\r\n"), (PURPOSE, FILE[:40])])
async def test_refused_form_writes_nothing(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    """A commit waits for the disk, and others with it."""
    async with open_store(tmp_path) as store:
        with pytest.raises(InvalidFieldError):
            await upload(store, *parts)
        assert await store.do(lambda: count(store)) == 0
