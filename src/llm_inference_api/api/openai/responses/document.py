"""The response object, and the parts of the items of its output."""

import time
from collections.abc import Iterable

from llm_inference_api.api.bodies import Json, large_document
from llm_inference_api.api.openai.responses.params import ResponseParams
from llm_inference_api.api.openai.writers import chat_logprobs
from llm_inference_api.requests.events import TokenLogprob, Usage
from llm_inference_api.requests.request import GenerationRequest

IN_PROGRESS, COMPLETED, INCOMPLETE, FAILED = "in_progress", "completed", "incomplete", "failed"
"""Statuses of responses and items."""
_DEPTH = 7
"""Levels that are written apart: those down to the list of a text's log probabilities in an event."""


class ResponseDocument:
    """Writes the response object of one request, as far as it is known."""

    def __init__(self, params: ResponseParams, request: GenerationRequest, *, is_stored: bool) -> None:
        """Takes the body, the request with the resolved model id, and whether the response will be stored."""
        self._params = params
        self._request = request
        self._is_stored = is_stored

    def begun(self) -> Json:
        """Returns the object of a response that is in progress."""
        return self._object(IN_PROGRESS, [])

    def ended(self, status: str, output: list[Json], usage: Usage, ignored: tuple[str, ...]) -> Json:
        """Returns the object of a response that is completed, or incomplete for want of tokens.

        Args:
            status: Which of the two.
            output: The items.
            usage: The tokens of the request.
            ignored: Names of keywords of the tools' schemas that the response does not follow.
        """
        found = {**self._object(status, output), "usage": usage_object(usage)}
        if status == INCOMPLETE:
            found["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            found["completed_at"] = int(time.time())
        return {**found, "ignored_keywords": list(ignored)} if ignored else found

    def failed(self, output: list[Json], code: str, message: str) -> Json:
        """Returns the object of a response that failed after these items."""
        return {**self._object(FAILED, output), "error": {"code": code, "message": message}}

    def _object(self, status: str, output: list[Json]) -> Json:
        params, sampling = self._params, self._request.sampling
        return {
            "id": self._request.id,
            "object": "response",
            "created_at": self._request.created,
            "completed_at": None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": params.instructions,
            "max_output_tokens": params.max_output_tokens,
            "max_tool_calls": None,
            "model": self._request.model,
            "output": output,
            "parallel_tool_calls": params.parallel_tool_calls is not False,
            "previous_response_id": params.previous_response_id,
            "reasoning": {"effort": params.reasoning.effort if params.reasoning else None, "summary": None},
            "store": self._is_stored,
            "temperature": sampling.temperature,
            "text": {"format": _format(params)},
            "tool_choice": _choice(params),
            "tools": [_tool(tool) for tool in params.tools],
            "top_logprobs": sampling.logprobs or 0,
            "top_p": sampling.top_p,
            "truncation": params.truncation or "disabled",
            "usage": None,
            "user": params.user,
            "metadata": params.metadata or {},
        }


def write_large(value: Json) -> bytes:
    """Returns a response object, an item or an event that has one as JSON; see `large_document`."""
    return large_document(value, _DEPTH)


def usage_object(usage: Usage) -> Json:
    """Returns the usage object. What is written to the cache of prefixes is not counted: all of it is."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def text_part(text: str, logprobs: Iterable[TokenLogprob]) -> Json:
    """Returns the part of a message that has its text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": token_logprobs(logprobs)}


def token_logprobs(logprobs: Iterable[TokenLogprob]) -> list[Json]:
    """Returns the log probabilities of tokens."""
    found = chat_logprobs(logprobs)
    return list(found["content"]) if found else []


def thought_part(text: str) -> Json:
    """Returns the part of a reasoning item that has its text."""
    return {"type": "reasoning_text", "text": text}


def _format(params: ResponseParams) -> Json:
    wanted = params.text.format if params.text else None
    return wanted.model_dump(by_alias=True, exclude_none=True) if wanted else {"type": "text"}


def _choice(params: ResponseParams) -> Json | str:
    choice = params.tool_choice
    if choice is None:
        return "auto"
    return choice.mode or {"type": choice.type, "name": choice.name}


def _tool(tool: Json) -> Json:
    if "tools" in tool:
        description = tool.get("description") or ""
        return {
            "type": tool["type"],
            "name": tool["name"],
            "description": description,
            "tools": [_tool(inner) for inner in tool["tools"]],
        }
    return {name: tool.get(name) for name in ("type", "name", "description", "parameters", "strict")}
