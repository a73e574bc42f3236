"""How the typed API says errors."""

from google.protobuf.message import Message

from llm_inference_api.rpc.error_writer import StatusOnly
from llm_inference_api.rpc.statuses import Failure


class NativeErrors(StatusOnly):
    """Ends a stream that has begun with a message whose field `error` is the status, where its type has one."""

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """See `ErrorWriter`."""
        has_error = "error" in sent_type.DESCRIPTOR.fields_by_name
        return sent_type(error=failure.status) if has_error else None
