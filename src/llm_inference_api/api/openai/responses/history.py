"""The whole conversation of a request: what earlier responses have of it, and its own input."""

from collections.abc import Sequence
from typing import NamedTuple

from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.responses.conversation import Placed
from llm_inference_api.api.openai.responses.ids import item_id
from llm_inference_api.api.openai.responses.items import GivenItem, ReferenceItem, complete, read_item
from llm_inference_api.api.openai.responses.params import InputTokensParams, ResponseParams
from llm_inference_api.api.openai.responses.store import ResponseStore
from llm_inference_api.errors import InvalidFieldError, PreviousResponseError, UnknownResponseError
from llm_inference_api.rpc.off_loop import off_loop

_INPUT, _PREVIOUS = "input", "previous_response_id"
_ITEM_BYTES = 1 << 10
"""About as much as an item of a conversation has."""


class Items(NamedTuple):
    """Items of a request."""

    all: Sequence[Placed]
    """The whole conversation."""
    given: Sequence[Json]
    """The request's own input, as it is stored; items that it refers to among them."""


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
            InvalidFieldError: An item is invalid, or what the request refers to is not stored.
        """
        read = await self._earlier(params.previous_response_id, caller)
        given = []
        for index, item in enumerate(await off_loop(size, _read, params.input)):
            body, known = params.input[index], item
            if isinstance(known, ReferenceItem):
                body = await self._referred(index, known, caller)
                known = read_item(body, (_INPUT, index))
            assert not isinstance(known, ReferenceItem)
            read.append(Placed(f"{_INPUT}[{index}]", known))
            given.append(complete(body, item_id(known.type)))
        return Items(read, given)

    async def _earlier(self, previous: str | None, caller: str) -> list[Placed]:
        if previous is None:
            return []
        try:
            found = await self._store.conversation(caller, previous)
        except UnknownResponseError as error:
            raise PreviousResponseError(error.response_id) from error
        return await off_loop(len(found) * _ITEM_BYTES, _stored, found)

    async def _referred(self, index: int, reference: ReferenceItem, caller: str) -> Json:
        found = await self._store.item(caller, reference.id)
        if found is None:
            problem = "is of no item that is stored for this caller; send the item itself"
            raise InvalidFieldError(f"{_INPUT}[{index}].id", problem)
        return found


def _read(values: Sequence[Json]) -> list[GivenItem]:
    return [read_item(value, (_INPUT, index)) for index, value in enumerate(values)]


def _stored(values: Sequence[Json]) -> list[Placed]:
    items = [read_item(value, (_PREVIOUS,)) for value in values]
    return [Placed(_PREVIOUS, item) for item in items if not isinstance(item, ReferenceItem)]
