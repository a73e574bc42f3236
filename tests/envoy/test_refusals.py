"""What Envoy's log says of the requests that it refuses."""

import json

import pytest

from llm_inference_api.envoy.refusals import read_refusal, refusal_log

FIELDS = refusal_log()["typed_config"]["log_format"]["json_format"]


def test_line_of_a_refusal_has_its_fields() -> None:
    """The status is the one by which it is counted."""
    line = dict.fromkeys(FIELDS, "x") | {"status": 404}
    assert read_refusal(json.dumps(line).encode()) == line


@pytest.mark.parametrize("line", [b"warning\ttext", b"{", b"{}", b'{"status": 404}', b"[]"])
def test_any_other_line_is_none(line: bytes) -> None:
    """Also one of JSON, which is logged as it is."""
    assert read_refusal(line) is None
