"""Errors of the Responses API: OpenAI's, and what a response says that failed in its stream."""

from google.protobuf.message import Message

from llm_inference_api.api.openai.errors import OpenAIErrors
from llm_inference_api.errors import ContextLengthError, InvalidFieldError, OverloadedError, ServiceError
from llm_inference_api.rpc.statuses import Failure

_SERVER_ERROR = "server_error"


class ResponsesErrors(OpenAIErrors):
    """Writes errors in OpenAI's format. A stream that has begun has said itself that it failed."""

    def message(self, sent_type: type[Message], failure: Failure) -> None:
        """Returns None: the stream ends with `response.failed`, which has the number after the last event's."""


def response_error(error: Exception) -> tuple[str, str]:
    """Returns code and message of the error object of a failed response."""
    match error:
        case InvalidFieldError() | ContextLengthError():
            return "invalid_prompt", str(error)
        case OverloadedError():
            return "rate_limit_exceeded", str(error)
        case ServiceError():
            return _SERVER_ERROR, str(error)
        case _:
            return _SERVER_ERROR, "internal error; the service's log has it"
