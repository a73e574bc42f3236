"""What a JSON document may have of values, before it is parsed."""

import json
from typing import Any

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests import json_size
from llm_inference_api.requests.json_size import MAX_KEYS, MAX_VALUES, counting


def count(document: bytes) -> int:
    """Returns the number of pieces that were counted."""
    return len(list(counting(document, "body")))


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"[" + b"1," * MAX_VALUES + b"1]", f"more than {MAX_VALUES} values"),
        (b"[" * (MAX_VALUES + 1), f"more than {MAX_VALUES} values"),
        (b"[" + b"{}," * MAX_VALUES, f"more than {MAX_VALUES} values"),
        (b'["' + b'","' * MAX_VALUES + b'"]', f"more than {MAX_VALUES} values"),
        (b"{" + b'"a":1,' * MAX_KEYS + b'"a":1}', f"more than {MAX_KEYS} keys"),
    ],
)
def test_document_of_too_many_values_is_refused(document: bytes, problem: str) -> None:
    """Also one that is broken, or goes on without end: it is counted as far as it goes."""
    with pytest.raises(InvalidFieldError, match=f"body: has {problem}"):
        count(document)


@pytest.mark.parametrize(
    "text", ["[1,2,{}:" * 100_000, '"' * 500_000, "\\" * 500_001, '\\",[' * 200_000, 'x"\\' * 99_999]
)
@pytest.mark.parametrize("before", range(3))
def test_what_stands_in_a_string_is_no_value(text: str, before: int) -> None:
    """However it is escaped, and wherever a piece ends."""
    document = json.dumps(["x" * before, text, 1, {"a": None}]).encode()
    assert count(document) > 1


@pytest.mark.parametrize("piece", range(1, 12))
def test_pieces_are_counted_as_the_whole(piece: int) -> None:
    """A quote, an escape or a string may be cut anywhere."""
    value: Any = {'a\\"b': ["\\", '"', '\\\\"', ",[{:", 1.5, {}], "c": {"d": [[], None]}}
    counter = json_size._Counter()
    document = json.dumps(value, ensure_ascii=False).encode()
    for start in range(0, len(document), piece):
        counter.add(document[start : start + piece])
    assert counter.keys == 3
    # Each comma and each opening bracket, and one for the document.
    assert counter.values == 1 + 7 + 6


def test_small_document_is_not_counted() -> None:
    """Whatever it has, parsing it takes no time."""
    assert count(b"[" * 1000) == 0
