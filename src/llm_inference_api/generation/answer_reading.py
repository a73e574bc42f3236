"""Converts the worker's deltas of one answer into events."""

from collections.abc import Iterator

from llm_inference_api.requests.events import End, FinishReason, Piece, Text, Thought
from llm_inference_api.requests.step import Delta


class Reading:
    """Events of one answer."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._has_calls = False

    def read(self, delta: Delta) -> Iterator[Piece | End]:
        """Yields the events of a delta; the last delta's end with an End."""
        if delta.thought:
            yield Thought(delta.thought, self._index)
        if delta.text:
            yield Text(delta.text, self._index, delta.logprobs)
        for part in delta.calls:
            self._has_calls = True
            yield part._replace(answer=self._index)
        if delta.finish_reason is not None:
            reason = self._reason(delta.finish_reason)
            yield End(reason, self._index, None, delta.max_tokens, delta.ignored, delta.stop, delta.scores)

    def _reason(self, reason: FinishReason) -> FinishReason:
        return FinishReason.TOOL_CALLS if self._has_calls and reason is FinishReason.STOP else reason
