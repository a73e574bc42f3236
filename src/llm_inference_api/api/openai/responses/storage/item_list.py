"""Pages of a response's input items."""

import json
from collections.abc import Sequence

from llm_inference.v1 import responses_pb2
from llm_inference_api.api.bodies import Json
from llm_inference_api.api.openai.list_params import is_newest_first, page_length
from llm_inference_api.api.openai.responses.document import write_large
from llm_inference_api.errors import InvalidFieldError

PAGE, LARGEST_PAGE = 20, 100


def item_list(items: Sequence[bytes], request: responses_pb2.ListInputItemsRequest) -> bytes:
    """Returns the page of the items that a request asks for, all as JSON. Raises InvalidFieldError."""
    limit = page_length(request.limit if request.HasField("limit") else None, PAGE, LARGEST_PAGE)
    newest_first = is_newest_first(request.order if request.HasField("order") else None)
    ordered = [json.loads(item) for item in (reversed(items) if newest_first else items)]
    first = _place(ordered, request.after) + 1 if request.after else 0
    page = ordered[first : first + limit]
    found = {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": first + limit < len(ordered),
    }
    return write_large(found)


def _place(items: Sequence[Json], item_id: str) -> int:
    for place, item in enumerate(items):
        if item["id"] == item_id:
            return place
    raise InvalidFieldError("after", f"{item_id[:100]!r} is not the id of an item in this list")
