"""Error writer of Ollama's API."""

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from llm_inference_api.api.ollama.writers import LINES, line
from llm_inference_api.rpc.error_writer import ErrorWriter, Metadata
from llm_inference_api.rpc.statuses import Failure


class OllamaErrors(ErrorWriter):
    """Writes errors in Ollama's format."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns nothing: Envoy builds the error response from the message alone (envoy/wire_errors.py)."""
        return ()

    def message(self, sent_type: type[Message], failure: Failure) -> Message:
        """Returns the line that ends a stream with an error."""
        return sent_type(http_body=HttpBody(content_type=LINES, data=line({"error": failure.status.message})))
