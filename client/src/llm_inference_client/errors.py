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
        """What programs tell errors apart by, such as OVERLOADED (google.rpc.ErrorInfo), or NOTHING_ANSWERS where the
        connection failed; None where none is given."""
        self.field = field
        """The first field that is wrong (google.rpc.BadRequest), such as `messages[0].role`; None for other errors."""
        self.retry_after = retry_after
        """Seconds after which another try may succeed (google.rpc.RetryInfo); None where another try is no use."""


def service_error(error: grpc.RpcError, method: str = "") -> ServiceError:
    """Returns what a program reads of gRPC's error: status and details (https://google.aip.dev/193).

    A connection that failed has one of the reasons of `_CONNECTION`; a method that the other side does not have, the
    reason METHOD_NOT_FOUND.
    """
    call: Any = error  # Errors of calls are calls too.
    code, text = call.code(), call.details() or ""
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS:
            return ServiceError(code, text, **_read(value))
    if code is grpc.StatusCode.UNAVAILABLE and text.startswith(_OF_GRPC):
        reason, meaning = next(said for part, said in _CONNECTION.items() if part in text)
        return ServiceError(code, meaning, reason=reason)
    if code is grpc.StatusCode.UNIMPLEMENTED and method:
        meaning = _NO_METHOD.format(method.lstrip("/"))
        return ServiceError(code, f"{meaning} ({text})" if text else meaning, reason="METHOD_NOT_FOUND")
    return ServiceError(code, text)


_OF_GRPC = ("errors resolving", "failed to connect", "connections to all backends failing")
"""How texts begin that are gRPC's own, not the service's."""
_CONNECTION = {
    "errors resolving": ("HOST_NOT_FOUND", "the host's name cannot be resolved"),
    "CERTIFICATE_VERIFY_FAILED": ("CERTIFICATE_NOT_TRUSTED", "the service's certificate is not trusted"),
    "Hostname Verification": ("CERTIFICATE_OF_ANOTHER_HOST", "the service's certificate is for another name"),
    "WRONG_VERSION_NUMBER": ("NO_TLS", "what answers there speaks no TLS"),
    "HTTP/2": ("NO_GRPC", "what answers there speaks no gRPC"),
    "Socket closed": (
        "CONNECTION_CLOSED",
        "what answers there closes the connection; it may speak TLS, or ask for a client certificate",
    ),
    "backend unhealthy": ("NOT_READY", "it is not ready"),
    "": ("NOTHING_ANSWERS", "nothing answers there"),
}
"""Reason and meaning of a failed connection, by a part of gRPC's own text (of gRPC 1.85); the first that fits."""
_NO_METHOD = "what answers has no method {}; it is an older service, or another one"


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
