"""What the hub's failures are on the wire."""

import grpc
import pytest
from google.rpc import error_details_pb2

from llm_inference_api.errors import DiskFullError, HubAccessError, HubError, UnavailableError
from llm_inference_api.rpc.statuses import describe


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (HubError("HUB_FILE_NOT_FOUND", "no such file"), grpc.StatusCode.FAILED_PRECONDITION),
        (HubAccessError("HUB_GATED", "gated"), grpc.StatusCode.PERMISSION_DENIED),
        (DiskFullError("DISK_FULL", "full"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (UnavailableError("HUB_UNAVAILABLE", "down", 10.0), grpc.StatusCode.UNAVAILABLE),
    ],
)
def test_each_failure_has_its_code(error: HubError, code: grpc.StatusCode) -> None:
    """The code says who can mend it, and the reason says what it was, for programs."""
    failure = describe(error)
    info = error_details_pb2.ErrorInfo()
    failure.status.details[0].Unpack(info)
    assert failure.code is code
    assert info.reason == error.reason
    assert failure.status.message == error.problem
