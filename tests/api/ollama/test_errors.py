"""Errors as Ollama's clients read them."""

import json

from llm_inference.v1 import ollama_pb2
from llm_inference_api.api.ollama.errors import OllamaErrors
from llm_inference_api.errors import ComputationError
from llm_inference_api.rpc.statuses import describe


def test_stream_that_has_begun_ends_with_a_line() -> None:
    """Of the sentence alone; before, Envoy writes the same of the status."""
    failure = describe(ComputationError("the scores are not finite"))
    message = OllamaErrors().message(ollama_pb2.OllamaChatResponse, failure)
    assert message.http_body.content_type == "application/x-ndjson"
    assert json.loads(message.http_body.data) == {"error": "the scores are not finite"}
    assert message.http_body.data.endswith(b"\n")
    assert OllamaErrors().trailing_metadata(failure) == ()
