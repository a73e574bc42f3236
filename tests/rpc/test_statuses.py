from google.rpc import error_details_pb2

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.statuses import describe


def test_what_a_caller_sent_is_quoted_in_part() -> None:
    """Details travel in headers: Envoy drops a connection, with everybody's streams, where they are too long."""
    failure = describe(InvalidFieldError("x" * 100_000, "\N{EURO SIGN}" * 100_000))
    violations = error_details_pb2.BadRequest()
    failure.status.details[0].Unpack(violations)
    assert len(failure.status.SerializeToString()) < 5_000
    assert violations.field_violations[0].field == "x" * 1000
