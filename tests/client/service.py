"""A service that the client's tests ask: it does as it is told, and keeps what it saw."""

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from llm_inference.v1 import inference_pb2, inference_pb2_grpc, models_pb2, models_pb2_grpc


class FakeService(inference_pb2_grpc.InferenceServiceServicer, models_pb2_grpc.ModelServiceServicer):
    """Answers with the prompt, unless a refusal is due."""

    def __init__(self) -> None:
        self.refusals: deque[grpc.StatusCode] = deque()
        """Codes that the next calls are refused with."""
        self.seen: list[tuple[dict[str, Any], float | None]] = []
        """Metadata and remaining seconds of each call."""
        self.left = threading.Event()
        """Set when the caller of a stream has left it."""
        self.address = ""
        self.health = health.HealthServicer()
        self.set_ready(is_ready=True)

    def set_ready(self, *, is_ready: bool) -> None:
        """Sets the health by which balancers and clients go."""
        serving = health_pb2.HealthCheckResponse.SERVING if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
        self.health.set("preloaded", serving)

    def Generate(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        self._look(context)
        return inference_pb2.GenerateResponse(text=request.prompt)

    def GenerateStream(self, request: Any, context: Any) -> Iterator[Any]:  # type: ignore[override]
        self._look(context)
        context.add_callback(self.left.set)
        for character in request.prompt:
            yield inference_pb2.GenerateStreamResponse(text=character)
        self.left.wait(30 if request.max_tokens else 0)

    def WatchModel(self, request: Any, context: Any) -> Iterator[Any]:  # type: ignore[override]
        self._look(context)
        yield models_pb2.WatchModelResponse()

    def LoadModel(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        self._look(context)
        return models_pb2.LoadModelResponse()

    def UnloadModel(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        self._look(context)
        return models_pb2.UnloadModelResponse()

    def DownloadModel(self, request: Any, context: Any) -> Any:  # type: ignore[override]
        self._look(context)
        return models_pb2.DownloadModelResponse()

    def _look(self, context: Any) -> None:
        remaining = context.time_remaining()
        # gRPC has no word for "none": it gives the time until the end of its clock.
        self.seen.append((dict(context.invocation_metadata()), remaining if remaining and remaining < 1e6 else None))
        if self.refusals:
            code = self.refusals.popleft()
            context.set_trailing_metadata((("grpc-status-details-bin", details(code).SerializeToString()),))
            context.abort(code, "not now")


def details(code: grpc.StatusCode) -> status_pb2.Status:
    """Returns a status with each kind of detail."""
    status = status_pb2.Status(code=code.value[0], message="not now")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    violation = error_details_pb2.BadRequest.FieldViolation(field="messages[0].role")
    for detail in (
        error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="llm-inference-api"),
        error_details_pb2.BadRequest(field_violations=[violation]),
        retry,
    ):
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    return status


@contextmanager
def running() -> Iterator[FakeService]:
    """A service on a port of its own."""
    fake = FakeService()
    pool = ThreadPoolExecutor(16)
    server = grpc.server(pool, options=[("grpc.max_send_message_length", 16 << 20)])
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(fake, server)
    models_pb2_grpc.add_ModelServiceServicer_to_server(fake, server)
    health_pb2_grpc.add_HealthServicer_to_server(fake.health, server)
    fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield fake
    finally:
        fake.left.set()
        server.stop(5).wait()
        pool.shutdown()
