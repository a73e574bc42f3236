"""What a failed call raises."""

from typing import Any

import grpc

_DETAILS = "grpc-status-details-bin"


class ServiceError(Exception):
    """A call that failed, as the service, Envoy or gRPC itself says it. Its cause is gRPC's own error."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}" if message else code.name)
        self.code = code
        self.message = message
        """One line for people; it names the field or the file where one is wrong."""
        self.reason = reason
        """What programs tell errors apart by, such as OVERLOADED (google.rpc.ErrorInfo); None where none is given."""
        self.field = field
        """The first field that is wrong (google.rpc.BadRequest), such as `messages[0].role`; None for other errors."""
        self.retry_after = retry_after
        """Seconds after which another try may succeed (google.rpc.RetryInfo); None where another try is no use."""


def service_error(error: grpc.RpcError) -> ServiceError:
    """Returns what a program reads of gRPC's error: status and details (https://google.aip.dev/193)."""
    call: Any = error  # Errors of calls are calls too.
    said: dict[str, Any] = {}
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS:
            said = _read(value)
    return ServiceError(call.code(), call.details() or "", **said)


def _read(data: bytes) -> dict[str, Any]:
    # Only where something failed: they take a tenth of the time that the import of gRPC takes.
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    said: dict[str, Any] = {}
    try:
        details = status_pb2.Status.FromString(data).details
        for packed in details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if packed.Unpack(info):
                said["reason"] = info.reason or None
            elif packed.Unpack(bad) and bad.field_violations:
                said["field"] = bad.field_violations[0].field or None
            elif packed.Unpack(retry):
                said["retry_after"] = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    except DecodeError:
        return said
    return said
