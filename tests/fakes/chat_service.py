"""A service that answers chats with the texts that a test gives it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from llm_inference.v1 import generation_pb2, inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc

HOLD = "…"
"""In the place of a text: nothing more comes until the caller cancels."""
FAIL = "!"
"""In the place of a text: the stream fails with UNAVAILABLE."""

THOUGHT = "</think>"
"""At the end of a text that is part of the model's reasoning."""


class ChatService(inference_pb2_grpc.InferenceServiceServicer, models_pb2_grpc.ModelServiceServicer):
    """Has the models `first`, `second`, which may chat, and `vectors`, which may not."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.requests: list[inference_pb2.ChatRequest] = []
        self.cancelled = threading.Event()
        """Whether a caller has cancelled a stream that was held."""

    def ListModels(self, request: Any, context: grpc.ServicerContext) -> models_pb2.ListModelsResponse:  # noqa: N802
        models = [
            models_pb2.Model(id=name, state=models_pb2.Model.ACTIVE, info={"generates": name != "vectors"})
            for name in ("vectors", "first", "second")
        ]
        models[1].info.context_length = 2048
        return models_pb2.ListModelsResponse(models=models)

    def ChatStream(self, request: Any, context: grpc.ServicerContext) -> Iterator[inference_pb2.ChatStreamResponse]:  # noqa: N802
        self.requests.append(request)
        for text in self._answers.pop(0):
            if text == HOLD:
                context.add_callback(self.cancelled.set)
                self.cancelled.wait(60)
                return
            if text == FAIL:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the model's process ended")
            thought, mark, content = text.rpartition(THOUGHT)
            yield inference_pb2.ChatStreamResponse(
                delta={"reasoning_content": thought} if mark else {"content": content}
            )
        usage = {"prompt_tokens": 12, "completion_tokens": 34, "cached_tokens": 5}
        yield inference_pb2.ChatStreamResponse(finish_reason=generation_pb2.Finish.STOP, usage=usage)

    @property
    def asked(self) -> list[list[tuple[str, str]]]:
        """Role and content of each request's messages."""
        return [[(message.role, message.content) for message in request.messages] for request in self.requests]

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Serves on a free port of the loopback address; yields the address."""
        server = grpc.server(ThreadPoolExecutor(8))
        inference_pb2_grpc.add_InferenceServiceServicer_to_server(self, server)
        models_pb2_grpc.add_ModelServiceServicer_to_server(self, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            self.cancelled.set()
            server.stop(0).wait()
