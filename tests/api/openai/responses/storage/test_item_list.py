"""Pages of input items."""

import json
from typing import Any

import pytest

from llm_inference.v1 import responses_pb2
from llm_inference_api.api.openai.responses.storage.item_list import item_list
from llm_inference_api.errors import InvalidFieldError

ITEMS = [{"id": f"msg_{number}"} for number in range(25)]


def page(**fields: Any) -> dict[str, Any]:
    items = [json.dumps(item).encode() for item in ITEMS]
    found: dict[str, Any] = json.loads(item_list(items, responses_pb2.ListInputItemsRequest(response_id="r", **fields)))
    return found


def numbers(found: dict[str, Any]) -> list[int]:
    return [int(item["id"].removeprefix("msg_")) for item in found["data"]]


def test_last_items_come_first() -> None:
    found = page()
    assert numbers(found) == list(range(24, 4, -1))
    assert (found["object"], found["first_id"], found["last_id"]) == ("list", "msg_24", "msg_5")
    assert found["has_more"]


def test_page_goes_on_after_an_item() -> None:
    found = page(after="msg_5")
    assert numbers(found) == [4, 3, 2, 1, 0]
    assert not found["has_more"]


def test_order_and_limit_are_the_callers() -> None:
    assert numbers(page(order="asc", limit=2)) == [0, 1]


def test_empty_page_has_no_ids() -> None:
    found = page(after="msg_0")
    assert (found["data"], found["first_id"], found["last_id"]) == ([], None, None)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"order": "up"}, "order"),
        ({"order": ""}, "order"),
        ({"after": "x"}, "after"),
    ],
)
def test_invalid_pages_are_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidFieldError) as found:
        page(**fields)
    assert found.value.field == field
