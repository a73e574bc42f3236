"""Files and batches with OpenAI's own client, through Envoy."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from google.api.httpbody_pb2 import HttpBody

from llm_inference.v1 import openai_files_pb2, openai_files_pb2_grpc
from tests.e2e.service import RunningService, run_service

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with the demo model and a store of batches."""
    directory = tmp_path_factory.mktemp("batches")
    with run_service(directory, directory, **settings(directory)) as service:
        yield service


def settings(directory: Path) -> dict[str, str]:
    return {"LLM_ALLOWED_MODELS": "demo", "LLM_BATCH_STORE": str(directory / "store")}


@pytest.fixture
def client(service: RunningService) -> Iterator[openai.OpenAI]:
    with client_of(service) as client:
        yield client


def client_of(service: RunningService) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key="none", max_retries=0, timeout=60)


def line(number: int, **body: Any) -> dict[str, Any]:
    fields = {"model": "demo", "messages": [{"role": "user", "content": f"What is {number}+1?"}], "max_tokens": 5}
    return {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": {**fields, **body}}


def jsonl(*lines: dict[str, Any]) -> bytes:
    return "\n".join(map(json.dumps, lines)).encode()


def uploaded(client: openai.OpenAI, data: bytes) -> str:
    return client.files.create(file=("in.jsonl", data), purpose="batch").id


def ended(client: openai.OpenAI, batch_id: str) -> Any:
    """Waits for the batch's end, and returns it."""
    deadline = time.monotonic() + 60
    while (batch := client.batches.retrieve(batch_id)).status not in ("completed", "failed", "cancelled", "expired"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
    return batch


def answered(client: openai.OpenAI, endpoint: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Returns what became of the body as the only line of a batch, and checks that its tokens are the batch's."""
    given = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    batch = client.batches.create(
        input_file_id=uploaded(client, jsonl(given)), endpoint=endpoint, completion_window="24h"
    )
    batch = ended(client, batch.id)
    (found,) = read(client, batch.output_file_id or batch.error_file_id)
    response: dict[str, Any] = found["response"]
    assert batch.usage.total_tokens == response["body"].get("usage", {}).get("total_tokens", 0)
    return response


def read(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(text) for text in client.files.content(file_id).text.splitlines()]


def test_batch_is_computed(client: openai.OpenAI) -> None:
    """From the upload to the files with answers and errors, which have the shapes of OpenAI's."""
    file_id = uploaded(client, jsonl(line(1), line(2, temperature=7), line(3, model="none"), line(4)))
    batch = client.batches.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h", metadata={"purpose": "test"}
    )
    batch = ended(client, batch.id)
    assert (batch.status, batch.metadata, batch.errors) == ("completed", {"purpose": "test"}, None)
    assert batch.request_counts.model_dump() == {"total": 4, "completed": 2, "failed": 2}
    answers = read(client, batch.output_file_id)
    assert [answer["custom_id"] for answer in answers] == ["r1", "r4"]
    assert answers[0]["response"]["status_code"] == 200
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"]
    assert batch.usage.total_tokens == sum(answer["response"]["body"]["usage"]["total_tokens"] for answer in answers)
    errors = [error["response"] for error in read(client, batch.error_file_id)]
    assert [(error["status_code"], error["body"]["error"]["param"]) for error in errors] == [
        (400, "temperature"),
        (404, "model"),
    ]
    assert batch.id in [one.id for one in client.batches.list(limit=1)]


@pytest.mark.parametrize(
    ("endpoint", "body", "objects"),
    [
        ("/v1/completions", {"prompt": ["Once", "Twice"], "max_tokens": 2}, "choices"),
        ("/v1/embeddings", {"input": ["one", "two"]}, "data"),
    ],
)
def test_other_endpoints_answer_lines(client: openai.OpenAI, endpoint: str, body: dict[str, Any], objects: str) -> None:
    """With the document that they answer a request with."""
    assert len(answered(client, endpoint, {"model": "demo", **body})["body"][objects]) == 2


def test_responses_are_lines_whose_tokens_count_and_which_go_on(client: openai.OpenAI) -> None:
    """A line is stored as any response is: it is the caller's, and a line of a later batch goes on from it."""
    first = {"model": "demo", "input": "What is 2+1?", "max_output_tokens": 5}
    response = answered(client, "/v1/responses", first)["body"]
    assert (response["object"], response["store"]) == ("response", True)
    assert client.responses.retrieve(response["id"]).output_text
    second = {"model": "demo", "input": "And 3+1?", "max_output_tokens": 5, "previous_response_id": response["id"]}
    assert answered(client, "/v1/responses", second)["body"]["previous_response_id"] == response["id"]
    refused = answered(client, "/v1/responses", {**first, "background": True})
    assert (refused["status_code"], refused["body"]["error"]["param"]) == (400, "background")


def test_batch_of_invalid_lines_fails(client: openai.OpenAI) -> None:
    """Before anything is computed, and with the place of each problem."""
    data = jsonl(line(1), line(1), {**line(2), "url": "/v1/embeddings"}, line(3, stream=True)) + b"\nnonsense"
    batch = client.batches.create(input_file_id=uploaded(client, data), endpoint=CHAT, completion_window="24h")
    batch = ended(client, batch.id)
    assert batch.status == "failed"
    assert [(one.code, one.line) for one in batch.errors.data] == [
        ("duplicate_custom_id", 2),
        ("invalid_url", 3),
        ("invalid_body", 4),
        ("invalid_json_line", 5),
    ]


def test_cancelled_batch_lists_what_was_not_computed(client: openai.OpenAI) -> None:
    """Each line is in one of the two files."""
    lines = [line(number, max_tokens=400, ignore_eos=True) for number in range(40)]
    batch = client.batches.create(input_file_id=uploaded(client, jsonl(*lines)), endpoint=CHAT, completion_window="24h")
    batch = client.batches.cancel(batch.id)
    assert batch.status == "cancelling"
    batch = ended(client, batch.id)
    assert batch.status == "cancelled"
    if batch.error_file_id is not None:  # Else it was cancelled while it was validated.
        assert {error["error"]["code"] for error in read(client, batch.error_file_id)} == {"batch_cancelled"}
    with pytest.raises(openai.BadRequestError, match="the batch has ended: it is cancelled"):
        client.batches.cancel(batch.id)


def test_files_are_listed_by_page_and_deleted(client: openai.OpenAI) -> None:
    """The client follows the pages by itself."""
    for file in client.files.list():
        client.files.delete(file.id)
    ids = [uploaded(client, jsonl(line(number))) for number in range(3)]
    assert [file.id for file in client.files.list(limit=2, order="asc", purpose="batch")] == ids
    assert [file.id for file in client.files.list(limit=2)] == ids[::-1]
    for order in ("", "up"):
        with pytest.raises(openai.BadRequestError, match="order: must be 'asc' or 'desc'"):
            client.files.list(extra_query={"order": order})
    assert client.files.retrieve(ids[0]).filename == "in.jsonl"
    assert client.files.delete(ids[0]).deleted
    with pytest.raises(openai.NotFoundError, match="you have no file"):
        client.files.retrieve(ids[0])


def test_large_file_passes_in_pieces(client: openai.OpenAI) -> None:
    """Larger than any other body may be, and byte by byte as it was."""
    data = jsonl(*(line(number, user="x" * 30_000) for number in range(300)))
    assert len(data) > 8 << 20
    assert client.files.content(uploaded(client, data)).content == data


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "vision"}}, "purpose: must be 'batch'"),
        ({"files": {"file": ("a", b"x")}, "data": {"purpose": "batch", "more": "1"}}, "more: is not a parameter"),
        ({"json": {"purpose": "batch"}}, "content-type: must be multipart/form-data"),
        ({}, "content-type: must be multipart/form-data"),
    ],
)
def test_upload_that_is_none_is_refused(service: RunningService, form: dict[str, Any], message: str) -> None:
    """In OpenAI's form of an error."""
    answer = httpx.post(f"{service.url}/v1/files", **form)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input_file_id": "file-0", "endpoint": CHAT, "completion_window": "24h"}, "input_file_id"),
        ({"input_file_id": "file-0", "endpoint": "/v1/moderations", "completion_window": "24h"}, "endpoint"),
        ({"input_file_id": "file-0", "endpoint": CHAT, "completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-0", "endpoint": CHAT, "completion_window": "24h", "more": 1}, "more"),
        ({"endpoint": CHAT, "completion_window": "24h"}, "input_file_id"),
    ],
)
def test_batch_that_cannot_be_is_refused_by_field(service: RunningService, body: dict[str, Any], param: str) -> None:
    """Before anything is stored."""
    answer = httpx.post(f"{service.url}/v1/batches", json=body)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_upload_over_grpc_may_be_split_anywhere(service: RunningService, client: openai.OpenAI) -> None:
    """The contract is the same without Envoy."""
    form = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{}\n\r\n--x--\r\n'
    )
    kind = "multipart/form-data; boundary=x"
    parts = (
        openai_files_pb2.CreateFileRequest(http_body=HttpBody(content_type=kind, data=form[at : at + 10]))
        for at in range(0, len(form), 10)
    )
    with grpc.insecure_channel(service.address) as channel:
        answer = openai_files_pb2_grpc.OpenAIFileServiceStub(channel).CreateFile(parts)
    assert client.files.content(json.loads(answer.http_body.data)["id"]).content == b"{}\n"


def test_metrics_count_batches_and_lines(service: RunningService, client: openai.OpenAI) -> None:
    """By state, and by what became of them."""
    completed, done = service.metric("batches", status="completed"), service.metric("batch_lines_total")
    batch = client.batches.create(
        input_file_id=uploaded(client, jsonl(line(1), line(2))), endpoint=CHAT, completion_window="24h"
    )
    ended(client, batch.id)
    service.wait_for_metric("batches", completed + 1, status="completed")
    assert service.metric("batch_lines_total") == done + 2
    assert service.metric("batch_store_bytes") > 0


def test_without_a_store_batches_are_refused(demo: RunningService) -> None:
    """By the setting that they need."""
    for answer in (
        httpx.get(f"{demo.url}/v1/files"),
        httpx.post(f"{demo.url}/v1/files", files={"file": ("a", b"x")}, data={"purpose": "batch"}),
        httpx.get(f"{demo.url}/v1/batches"),
    ):
        assert answer.status_code == 400
        assert "LLM_BATCH_STORE" in answer.json()["error"]["message"]


@pytest.mark.faults
def test_killed_service_goes_on_where_it_stood(tmp_path: Path) -> None:
    """No line is lost, and none is answered twice."""
    count = 60
    with run_service(tmp_path, tmp_path, **settings(tmp_path)) as service, client_of(service) as client:
        lines = [line(number, max_tokens=30, ignore_eos=True) for number in range(count)]
        batch_id = client.batches.create(
            input_file_id=uploaded(client, jsonl(*lines)), endpoint=CHAT, completion_window="24h"
        ).id
        while (done := client.batches.retrieve(batch_id).request_counts.completed) < 10:  # type: ignore[union-attr]
            time.sleep(0.02)
        assert done < count
        service.stop(signal.SIGKILL)
    with run_service(tmp_path, tmp_path, **settings(tmp_path)) as service, client_of(service) as client:
        batch = ended(client, batch_id)
        assert [answer["custom_id"] for answer in read(client, batch.output_file_id)] == [
            f"r{at}" for at in range(count)
        ]
        assert batch.request_counts.completed == count
