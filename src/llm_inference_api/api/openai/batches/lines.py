"""Lines of batches in OpenAI's form: read as requests to its endpoints, and written with what became of them."""

import logging
import secrets
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import grpc
from pydantic_core import from_json

from llm_inference_api.api.bodies import Json, document
from llm_inference_api.api.openai.batches.endpoints import Endpoints
from llm_inference_api.api.openai.errors import error_object
from llm_inference_api.batches.lines import Heading, LineWire
from llm_inference_api.batches.records import AnsweredLine, BatchJob, Line, LineProblem, Tokens
from llm_inference_api.errors import InvalidFieldError, OverloadedError, ServiceError, UnavailableError
from llm_inference_api.observability.log import fields
from llm_inference_api.requests.json_size import counting
from llm_inference_api.rpc.background import BackgroundCalls
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop
from llm_inference_api.rpc.statuses import Failure, describe, describe_unexpected

MAX_ID = 512
"""Maximum length of a line's `custom_id`, in characters."""
_METHOD = "POST"
_NAMES = ("custom_id", "method", "url", "body")
_GRACE = 60.0
"""Seconds by which a line may outlive its batch's time: the batch, which ends it, has the last word."""
_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""HTTP status by gRPC's, as Envoy has them; 500 for others."""

logger = logging.getLogger(__name__)


class _Request(NamedTuple):
    """A line, read."""

    custom_id: str
    body: Json


class OpenAILines(LineWire):
    """Reads and answers the lines of OpenAI's batches."""

    def __init__(self, endpoints: Endpoints, calls: BackgroundCalls) -> None:
        self._endpoints = endpoints
        self._calls = calls

    def check(self, line: Line, endpoint: str) -> Heading | LineProblem:
        """See `LineWire`."""
        request = _read(line, endpoint)
        if isinstance(request, LineProblem):
            return request
        model = request.body.get("model")
        return Heading(request.custom_id, model if isinstance(model, str) else None)

    async def answer(self, batch: BatchJob, line: Line) -> AnsweredLine:
        """See `LineWire`."""
        request = await off_loop(len(line.data), _read, line, batch.endpoint)
        assert isinstance(request, _Request)  # It was validated.
        endpoint = self._endpoints[batch.endpoint]
        seconds = batch.expires_at - time.time() + _GRACE
        facts = {"batch": batch.id, "line": line.number}
        with self._calls.open(endpoint.method, batch.caller, seconds, **facts) as call:
            try:
                body = await endpoint.answer(await off_loop(len(line.data), document, request.body), call)
            except (OverloadedError, UnavailableError):
                raise
            except ServiceError as error:
                return _failed(line, request, call, describe(error))
            except Exception:
                failure, incident = describe_unexpected()
                logger.exception("internal error", extra=fields(incident_id=incident))
                return _failed(line, request, call, failure)
            data = await off_loop(len(body), _written, request.custom_id, call.request_id, 200, body)
            return AnsweredLine(line.number, data, is_error=False, tokens=_tokens(call))

    def give_up(self, line: Line, code: str, message: str) -> AnsweredLine:
        """See `LineWire`."""
        custom_id = from_json(line.data)["custom_id"]
        error = {"code": code, "message": message}
        data = document({"id": _new_id(), "custom_id": custom_id, "response": None, "error": error})
        return AnsweredLine(line.number, data + b"\n", is_error=True)


class _Fault(NamedTuple):
    """What is wrong with a line."""

    code: str
    field: str
    problem: str


def _read(line: Line, endpoint: str) -> _Request | LineProblem:
    """Returns the request of a line, or what is wrong with it."""
    found = _parsed(line)
    if isinstance(found, str):
        return LineProblem("invalid_json_line", f"the line is no JSON object ({found})", None, line.number)
    if fault := next(_faults(found, endpoint), None):
        return LineProblem(fault.code, f"{fault.field}: {fault.problem}", fault.field, line.number)
    return _Request(found["custom_id"], found["body"])


def _faults(found: dict[str, Any], endpoint: str) -> Iterator[_Fault]:
    """Yields what is wrong with a line's object. To be stopped at the first fault: the next may rely on its absence."""
    for name in _NAMES:
        if name not in found:
            yield _Fault("missing_required_parameter", name, "is missing")
    for name in found:
        if name not in _NAMES:
            yield _Fault("unknown_parameter", name[:100], "is not a field of a line; leave it out")
    custom_id, method, url, body = (found[name] for name in _NAMES)
    if not isinstance(custom_id, str) or not 1 <= len(custom_id) <= MAX_ID:
        yield _Fault("invalid_custom_id", "custom_id", f"must be a text of 1 to {MAX_ID} characters")
    if method != _METHOD:
        yield _Fault("invalid_method", "method", f"must be {_METHOD!r}")
    if url != endpoint:
        yield _Fault("invalid_url", "url", f"must be the batch's endpoint, {endpoint!r}")
    if not isinstance(body, dict):
        yield _Fault("invalid_body", "body", "must be an object")
    if body.get("stream"):
        yield _Fault("invalid_body", "body.stream", "is not for batches, whose answers are not streamed; leave it out")


def _parsed(line: Line) -> dict[str, Any] | str:
    """Returns the object of a line, or what is wrong with it."""
    try:
        for _ in counting(line.data, "line"):
            pass
        found = from_json(line.data)
    except InvalidFieldError as error:
        return str(error)
    except ValueError as error:
        return str(error)
    return found if isinstance(found, dict) else f"it is {type(found).__name__}"


def _failed(line: Line, request: _Request, call: Call, failure: Failure) -> AnsweredLine:
    call.code, call.error = failure.code, failure.status.message
    body = error_object(failure)
    data = _written(request.custom_id, call.request_id, _HTTP.get(failure.code, 500), body)
    return AnsweredLine(line.number, data, is_error=True)


def _written(custom_id: str, request_id: str, status: int, body: bytes) -> bytes:
    """Returns a line of an output file; `body` is JSON without line breaks."""
    head = document({"id": _new_id(), "custom_id": custom_id})
    response = document({"status_code": status, "request_id": request_id})
    return b'%s,"response":%s,"body":%s},"error":null}\n' % (head[:-1], response[:-1], body)


def _tokens(call: Call) -> Tokens:
    return Tokens(*(int(str(call.facts.get(f"{name}_tokens", 0))) for name in Tokens._fields))


def _new_id() -> str:
    return f"batch_req_{secrets.token_hex(12)}"
