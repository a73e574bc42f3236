"""Error writer of the typed API."""

from google.protobuf.message import Message

from llm_inference_api.rpc.error_writer import StatusOnly
from llm_inference_api.rpc.statuses import Failure


class NativeErrors(StatusOnly):
    """Ends a started stream with a message that has the status in its `error` field, if its type has that field."""

    def message(self, sent_type: type[Message], failure: Failure) -> Message | None:
        """See `ErrorWriter`."""
        has_error = "error" in sent_type.DESCRIPTOR.fields_by_name
        return sent_type(error=failure.status) if has_error else None
