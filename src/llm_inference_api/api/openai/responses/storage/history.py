"""The whole conversation of a request: what earlier responses have of it, and its own input."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.responses.conversation import Placed
from llm_inference_api.api.openai.responses.items import GivenItem, Item, ReferenceItem, read_item
from llm_inference_api.api.openai.responses.params import InputTokensParams, ResponseParams
from llm_inference_api.api.openai.responses.storage.store import ResponseStore
from llm_inference_api.api.openai.responses.storage.stored_items import stored_input
from llm_inference_api.errors import InvalidFieldError, PreviousResponseError, UnknownResponseError
from llm_inference_api.rpc.off_loop import off_loop

_INPUT, _PREVIOUS = "input", "previous_response_id"


class Items(NamedTuple):
    """Items of a request."""

    all: Sequence[Placed]
    """The whole conversation."""
    given: Sequence[Json]
    """The request's own input, as it is stored; items that it refers to among them."""
    size: int
    """Bytes of the body, and of what it refers to."""


class History:
    """Finds what requests refer to."""

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def items(self, params: ResponseParams | InputTokensParams, size: int, caller: str) -> Items:
        """Returns the items of a request.

        Args:
            params: The body.
            size: Its bytes.
            caller: The caller, who has stored what the request refers to.

        Raises:
            InvalidFieldError: An item is invalid, or what the request refers to is not stored, or too much.
        """
        read = await off_loop(size, _read, params.input)
        names = {item.id for item in read if isinstance(item, ReferenceItem)}
        referred = await self._store.items(caller, names) if names else {}
        earlier = await self._earlier(params.previous_response_id, caller)
        size += sum(map(len, (*referred.values(), *earlier)))
        return await off_loop(size, _joined, earlier, params.input, read, referred, size)

    async def _earlier(self, previous: str | None, caller: str) -> list[bytes]:
        if previous is None:
            return []
        try:
            return await self._store.conversation(caller, previous)
        except UnknownResponseError as error:
            raise PreviousResponseError(error.response_id) from error


def _read(values: Sequence[Json]) -> list[GivenItem]:
    return [read_item(value, (_INPUT, index)) for index, value in enumerate(values)]


def _joined(
    earlier: Sequence[bytes],
    values: Sequence[Json],
    items: Sequence[GivenItem],
    referred: Mapping[str, bytes],
    size: int,
) -> Items:
    """Returns the items behind earlier ones, with those that they refer to in the place of the references."""
    known = [Placed(_PREVIOUS, _stored(body)[1]) for body in earlier]
    given = []
    for index, (value, item) in enumerate(zip(values, items, strict=True)):
        place = f"{_INPUT}[{index}]"
        if not isinstance(item, ReferenceItem):
            body, real = value, item
        elif item.id in referred:
            body, real = _stored(referred[item.id])
        else:
            raise InvalidFieldError(f"{place}.id", "is of no item that is stored for this caller; send the item itself")
        known.append(Placed(place, real))
        given.append(stored_input(body, real))
    return Items(known, given, size)


def _stored(body: bytes) -> tuple[Json, Item]:
    value = json.loads(body)
    item = read_item(value, (_INPUT,))
    assert not isinstance(item, ReferenceItem)
    return value, item
