from llm_inference.v1 import inference_pb2, models_pb2
from llm_inference_api.api.native.errors import NativeErrors
from llm_inference_api.errors import UnavailableError
from llm_inference_api.rpc.statuses import describe

FAILURE = describe(UnavailableError("WORKER_DIED", "the model's process ended"))


def test_stream_ends_with_the_status_where_its_messages_have_room_for_it() -> None:
    """A watch of a model has none: its callers see the status."""
    writer = NativeErrors()
    last = writer.message(inference_pb2.ChatStreamResponse, FAILURE)
    assert last == inference_pb2.ChatStreamResponse(error=FAILURE.status)
    assert writer.message(models_pb2.WatchModelResponse, FAILURE) is None


def test_status_says_all_that_the_trailing_metadata_need() -> None:
    """What gRPC's own clients read is there already."""
    assert NativeErrors().trailing_metadata(FAILURE) == ()
