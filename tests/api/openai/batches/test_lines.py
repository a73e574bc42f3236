"""Lines of OpenAI's batches."""

import json
import time
from typing import Any

import pytest

from llm_inference_api.api.openai.batches.endpoints import Endpoint
from llm_inference_api.api.openai.batches.lines import OpenAILines
from llm_inference_api.batches.lines import Heading
from llm_inference_api.batches.records import BatchJob, Line, LineProblem, Status, Tokens
from llm_inference_api.errors import (
    DeadlineError,
    InvalidFieldError,
    ModelNotFoundError,
    OverloadedError,
    UnavailableError,
)
from llm_inference_api.observability.spans import Spans
from llm_inference_api.rpc.background import BackgroundCalls
from llm_inference_api.rpc.call import Call
from tests.rpc.scripted import access_lines

PATH = "/v1/chat/completions"
FIELDS = {"custom_id": "a", "method": "POST", "url": PATH, "body": {"model": "m", "messages": []}}


def line(**changes: Any) -> Line:
    """Returns a line with the changes; None leaves a field out."""
    fields = {name: value for name, value in {**FIELDS, **changes}.items() if value is not None}
    return Line(7, json.dumps(fields).encode() + b"\n")


def job() -> BatchJob:
    now = int(time.time())
    return BatchJob(
        1,
        "batch_1",
        "ana",
        PATH,
        Status.IN_PROGRESS,
        now,
        now + 60,
        {},
        None,
        (),
        "f",
        None,
        None,
        None,
        1,
        0,
        0,
        Tokens(),
    )


class Served:
    """An endpoint that answers each body with itself, or raises; it notes the calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[Call] = []
        self.wire = OpenAILines({PATH: Endpoint("/llm.Service/Chat", self._answer)}, BackgroundCalls(Spans()))

    async def _answer(self, body: bytes, call: Call) -> bytes:
        self.calls.append(call)
        call.facts.update(input_tokens=5, cached_tokens=1, output_tokens=3)
        if self.error is not None:
            raise self.error
        return body


@pytest.mark.parametrize(
    ("given", "code", "param"),
    [
        (Line(7, b"{"), "invalid_json_line", None),
        (Line(7, b"[1]"), "invalid_json_line", None),
        (Line(7, b'{"a":NaN}'), "missing_required_parameter", "custom_id"),
        (Line(7, b"[" * 100_000), "invalid_json_line", None),
        (Line(7, b"[" + b"1," * 2_000_000 + b"1]"), "invalid_json_line", None),
        (Line(7, b"\xff\xfe"), "invalid_json_line", None),
        (line(custom_id=None), "missing_required_parameter", "custom_id"),
        (line(body=None), "missing_required_parameter", "body"),
        (line(extra=1), "unknown_parameter", "extra"),
        (line(custom_id=""), "invalid_custom_id", "custom_id"),
        (line(custom_id=5), "invalid_custom_id", "custom_id"),
        (line(custom_id="x" * 513), "invalid_custom_id", "custom_id"),
        (line(method="GET"), "invalid_method", "method"),
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (line(body=[]), "invalid_body", "body"),
        (line(body={"stream": True}), "invalid_body", "body.stream"),
    ],
)
def test_invalid_line_is_told_by_code_and_field(given: Line, code: str, param: str | None) -> None:
    """With the number of the line."""
    problem = Served().wire.check(given, PATH)
    assert isinstance(problem, LineProblem)
    assert (problem.code, problem.param, problem.line) == (code, param, 7)


def test_valid_line_has_a_heading() -> None:
    """Its id, and the model where it names one."""
    assert Served().wire.check(line(), PATH) == Heading("a", "m")
    assert Served().wire.check(line(body={}), PATH) == Heading("a", None)


async def test_answer_is_a_line_of_the_output_file() -> None:
    """The endpoint's document is in it as it is, and its tokens are counted."""
    served = Served()
    answered = await served.wire.answer(job(), line(custom_id="ä"))
    written = json.loads(answered.data)
    assert answered.data.count(b"\n") == 1
    assert written.pop("id").startswith("batch_req_")
    response = {"status_code": 200, "request_id": served.calls[0].request_id, "body": FIELDS["body"]}
    assert written == {"custom_id": "ä", "response": response, "error": None}
    assert (answered.number, answered.is_error, answered.tokens) == (7, False, Tokens(5, 1, 3, 0))


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidFieldError("temperature", "is 7"), 400, None),
        (ModelNotFoundError("x"), 404, "model_not_found"),
        (DeadlineError("late"), 504, "timeout"),
        (ZeroDivisionError("a bug"), 500, "internal"),
    ],
)
async def test_failure_is_a_line_of_the_file_with_errors(error: Exception, status: int, code: str | None) -> None:
    """With the body and the status that REST has for it; a bug shows nothing but its incident."""
    answered = await Served(error).wire.answer(job(), line())
    response = json.loads(answered.data)["response"]
    assert answered.is_error
    assert (response["status_code"], response["body"]["error"]["code"]) == (status, code)
    assert "bug" not in response["body"]["error"]["message"]


@pytest.mark.parametrize("error", [OverloadedError("full", 1.0), UnavailableError("WORKER_DIED", "gone")])
async def test_want_of_capacity_is_no_answer(error: Exception) -> None:
    """The line is to be tried again."""
    with pytest.raises(type(error)):
        await Served(error).wire.answer(job(), line())


async def test_call_is_the_callers_in_the_background(caplog: pytest.LogCaptureFixture) -> None:
    """It has the batch's time, and the access log says of which batch it was."""
    caplog.set_level("INFO")
    served = Served()
    await served.wire.answer(job(), line())
    (call,) = served.calls
    assert (call.caller, call.is_background, call.method) == ("ana", True, "/llm.Service/Chat")
    assert 60 < (call.time_remaining() or 0) < 130
    (logged,) = access_lines(caplog)
    assert (logged["batch"], logged["line"], logged["code"], logged["caller"]) == ("batch_1", 7, "OK", "ana")


def test_line_that_was_not_computed_says_why() -> None:
    """It has no response."""
    given_up = Served().wire.give_up(line(), "batch_expired", "too late")
    written = json.loads(given_up.data)
    assert (written["custom_id"], written["response"]) == ("a", None)
    assert written["error"] == {"code": "batch_expired", "message": "too late"}
    assert given_up.is_error
