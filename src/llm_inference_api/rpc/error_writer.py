"""Wire-specific representation of errors, in addition to the gRPC status."""

from typing import Protocol

from google.protobuf.message import Message

from llm_inference_api.rpc.statuses import Failure

Metadata = tuple[tuple[str, str], ...]


class ErrorWriter(Protocol):
    """Writes errors of a wire's methods. The interceptor looks it up by the method's service."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns trailing metadata to send in addition to the status details."""

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """Returns the message that ends a started stream with the error; None to send none.

        REST clients see neither status nor trailing metadata once a stream has started.

        Args:
            sent_type: Type of the stream's messages, and of the returned one.
            failure: The error.
        """


class StatusOnly(ErrorWriter):
    """Error writer of methods that report errors by the gRPC status alone."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns no metadata."""
        return ()

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """Returns None."""
        return None
