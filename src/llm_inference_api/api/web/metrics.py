"""OperationsService: metrics."""

from google.api.httpbody_pb2 import HttpBody

from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.rpc.call import Call


class OperationsServicer(operations_pb2_grpc.OperationsServiceServicer):
    """Serves the metrics of the process."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def GetMetrics(
        self, request: operations_pb2.GetMetricsRequest, call: Call
    ) -> operations_pb2.GetMetricsResponse:
        """Returns the metrics in the Prometheus text format."""
        body = HttpBody(content_type=self._metrics.content_type, data=self._metrics.text())
        return operations_pb2.GetMetricsResponse(http_body=body)
