"""What requests refer to, in its place in their conversation."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_inference_api.api.openai.responses.params import ResponseParams, parse
from llm_inference_api.api.openai.responses.storage.history import History, Items
from llm_inference_api.api.openai.responses.storage.store import ResponseStore, StoreLimits
from llm_inference_api.errors import InvalidFieldError, PreviousResponseError

SIZE = 100
USER = {"role": "user", "content": "q2"}


def message(name: str, role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "id": name, "role": role, "content": [{"type": kind, "text": text}]}


@pytest.fixture
async def store() -> AsyncIterator[ResponseStore]:
    """A store in which ann has a question and its answer."""
    store = ResponseStore(StoreLimits(1 << 20, 100.0))
    await store.open()
    made: dict[str, Any] = {"id": "r1", "previous_response_id": None, "output": [message("m1", "assistant", "a1")]}
    await store.save("ann", made, [message("i1", "user", "q1")], made["output"])
    yield store
    store.close()


async def items(store: ResponseStore, caller: str = "ann", **fields: Any) -> Items:
    params = parse(ResponseParams, json.dumps(fields).encode())
    return await History(store).items(params, SIZE, caller)


def said(found: Items) -> list[tuple[str, Any]]:
    return [(placed.place, getattr(placed.item, "content", None)) for placed in found.all]


async def test_earlier_items_come_first(store: ResponseStore) -> None:
    found = await items(store, previous_response_id="r1", input=[USER])
    assert said(found) == [("previous_response_id", "q1"), ("previous_response_id", "a1"), ("input[0]", "q2")]
    assert [item["content"] for item in found.given] == [[{"type": "input_text", "text": "q2"}]]
    assert found.size > SIZE


async def test_reference_stands_for_its_item(store: ResponseStore) -> None:
    """Also in what is stored of the request."""
    found = await items(store, input=[USER, {"type": "item_reference", "id": "m1"}, USER])
    assert said(found) == [("input[0]", "q2"), ("input[1]", "a1"), ("input[2]", "q2")]
    assert [item["id"] == "m1" for item in found.given] == [False, True, False]


async def test_other_callers_refer_to_nothing(store: ResponseStore) -> None:
    with pytest.raises(InvalidFieldError, match=r"^input\[0\]\.id: .* send the item itself"):
        await items(store, "bob", input=[{"type": "item_reference", "id": "m1"}])
    with pytest.raises(PreviousResponseError, match="'r1'"):
        await items(store, "bob", previous_response_id="r1", input=[USER])


async def test_conversation_may_go_on_without_input(store: ResponseStore) -> None:
    assert len((await items(store, previous_response_id="r1")).all) == 2
    assert len((await items(store, previous_response_id="r1", input=None)).all) == 2
