"""Ids of responses and of their items, in OpenAI's form: `resp_` and 32 hex digits."""

from llm_inference_api.requests.limits import new_id


def response_id() -> str:
    """Returns a new id of a response."""
    return _with_underscore("resp")


def item_id(kind: str) -> str:
    """Returns a new id of an item of this type, such as `message`."""
    return _with_underscore(_PREFIXES[kind])


def _with_underscore(kind: str) -> str:
    return new_id(kind).replace("-", "_")


_PREFIXES = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
