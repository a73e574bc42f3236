"""How a wire says errors, beside the status that gRPC itself carries."""

from typing import Protocol

from google.protobuf.message import Message

from llm_inference_api.rpc.statuses import Failure

Metadata = tuple[tuple[str, str], ...]


class ErrorWriter(Protocol):
    """Writes the errors of a wire's methods. Each wire brings its own; the interceptor asks the method's."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns what the trailing metadata hold beside the status's details."""

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """Returns the last message of a stream that has begun, of the same type as those before; None for none.

        Callers through REST see neither status nor trailing metadata once a stream has begun.
        """


class StatusOnly(ErrorWriter):
    """For methods whose errors are gRPC statuses and nothing else."""

    def trailing_metadata(self, failure: Failure) -> Metadata:
        """Returns nothing: the status has all."""
        return ()

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """Returns None: the status has all."""
        return None
