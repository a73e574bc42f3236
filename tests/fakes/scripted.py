"""A service without a model that streams the messages that a test gives it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from llm_inference.v1 import inference_pb2, inference_pb2_grpc


class ScriptedService(inference_pb2_grpc.InferenceServiceServicer):
    """Answers every stream with `generate` or `chat`."""

    def __init__(self) -> None:
        self.generate: list[inference_pb2.GenerateStreamResponse] = []
        self.chat: list[inference_pb2.ChatStreamResponse] = []

    def GenerateStream(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext
    ) -> Iterator[inference_pb2.GenerateStreamResponse]:
        yield from self.generate

    def ChatStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[inference_pb2.ChatStreamResponse]:  # noqa: N802
        yield from self.chat

    @contextmanager
    def serve(self) -> Iterator[int]:
        """Serves on a free port of the loopback address, which it yields; health checks say SERVING."""
        server = grpc.server(ThreadPoolExecutor(8))
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, server)
        servicer = health.HealthServicer()
        for name in ("", "accepting", "live"):
            servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(0).wait()
