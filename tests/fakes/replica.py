"""A replica without a model: it answers at once, says who it is, and refuses or breaks as a test wants."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.api import httpbody_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from llm_inference.v1 import (
    embeddings_pb2,
    embeddings_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    openai_pb2,
    openai_pb2_grpc,
)

Behaviour = Callable[[grpc.ServicerContext], None]


class FakeReplica(
    inference_pb2_grpc.InferenceServiceServicer,
    openai_pb2_grpc.OpenAIServiceServicer,
    embeddings_pb2_grpc.EmbeddingServiceServicer,
):
    """Answers with its name, and remembers what it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.behave: Behaviour = lambda context: None
        """Called before each answer."""
        self.break_stream: Behaviour = lambda context: None
        """Called after the first part of a stream."""
        self.calls: list[str] = []
        self.port = 0
        self._health = health.HealthServicer()

    def Chat(self, request: Any, context: grpc.ServicerContext) -> inference_pb2.ChatResponse:  # noqa: N802
        self._enter("Chat", context)
        return inference_pb2.ChatResponse(id=self.name)

    def ChatStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[inference_pb2.ChatStreamResponse]:  # noqa: N802
        self._enter("ChatStream", context)
        yield inference_pb2.ChatStreamResponse(id=self.name)
        self.break_stream(context)
        yield inference_pb2.ChatStreamResponse(finish_reason="STOP")

    def Generate(self, request: Any, context: grpc.ServicerContext) -> inference_pb2.GenerateResponse:  # noqa: N802
        self._enter("Generate", context)
        return inference_pb2.GenerateResponse(id=self.name)

    def Embed(self, request: Any, context: grpc.ServicerContext) -> embeddings_pb2.EmbedResponse:  # noqa: N802
        self._enter("Embed", context)
        return embeddings_pb2.EmbedResponse(model=self.name)

    def CreateChatCompletion(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[openai_pb2.CreateChatCompletionResponse]:
        self._enter("CreateChatCompletion", context)
        body = httpbody_pb2.HttpBody(content_type="application/json", data=b'{"id": "%s"}' % self.name.encode())
        yield openai_pb2.CreateChatCompletionResponse(http_body=body)

    def set_serving(self, *, serving: bool) -> None:
        """Sets what the replica says of its health; it lives in any case."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", "preloaded"):
            self._health.set(name, status)

    def reset(self) -> None:
        """Forgets what a test wanted."""
        self.behave = self.break_stream = lambda context: None
        self.calls.clear()
        self.set_serving(serving=True)

    @contextmanager
    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Iterator[None]:
        """Serves on the port; 0 is a free one."""
        server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 8 << 20)])
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, server)
        openai_pb2_grpc.add_OpenAIServiceServicer_to_server(self, server)
        embeddings_pb2_grpc.add_EmbeddingServiceServicer_to_server(self, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self._health.set("live", health_pb2.HealthCheckResponse.SERVING)
        self.set_serving(serving=True)
        self.port = server.add_insecure_port(f"{host}:{port}")
        server.start()
        try:
            yield
        finally:
            server.stop(0).wait()

    def _enter(self, method: str, context: grpc.ServicerContext) -> None:
        self.calls.append(method)
        self.behave(context)
