"""Converts the worker's deltas of one answer into events."""

from collections.abc import Iterator

from llm_inference_api.requests.events import CallPart, End, FinishReason, Logprobs, Piece, Text, Thought
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta
from llm_inference_api.text.families.answer_reader import answer_reader
from llm_inference_api.text.families.reader import PlainReader, Reader
from llm_inference_api.text.families.tool_format import ToolFormat


def readings(request: GenerationRequest, info: ModelInfo | None) -> list["Reading"]:
    """Returns one reading per answer, by index.

    The generic tool format is used without `info`.
    """
    return [Reading(_reader(request, info), index) for index in range(request.n)]


def _reader(request: GenerationRequest, info: ModelInfo | None) -> Reader:
    if isinstance(request.prompt, str):
        return PlainReader()
    if info is None:
        return answer_reader(ToolFormat.GENERIC, request.tools, opens_thoughts=False)
    return answer_reader(ToolFormat(info.tool_format), request.tools, opens_thoughts=info.opens_thoughts)


class Reading:
    """Reader state of one answer: separates text, thoughts and tool calls, and assigns log probabilities to them."""

    def __init__(self, reader: Reader, index: int) -> None:
        self._reader = reader
        self._index = index
        self._logprobs: Logprobs = ()
        """Log probabilities of tokens whose text the reader still holds back."""
        self._has_calls = False

    def read(self, delta: Delta) -> Iterator[Piece | End]:
        """Yields the events of a delta; the last delta's end with an End."""
        self._logprobs += delta.logprobs
        for piece in self._reader.add(delta.text, final=delta.finish_reason is not None):
            yield self._completed(piece)
        if delta.finish_reason is not None:
            reason, logprobs = self._reason(delta.finish_reason), self._take_logprobs()
            yield End(reason, self._index, None, logprobs, ignored=delta.ignored)

    def _completed(self, piece: Piece) -> Piece:
        """Returns the piece with this answer's index and the pending log probabilities."""
        logprobs = self._take_logprobs()
        match piece:
            case Text(text):
                return Text(text, self._index, logprobs)
            case Thought(text):
                return Thought(text, self._index, logprobs)
            case CallPart():
                self._has_calls = True
                return piece._replace(answer=self._index, logprobs=logprobs)

    def _reason(self, reason: FinishReason) -> FinishReason:
        return FinishReason.TOOL_CALLS if self._has_calls and reason is FinishReason.STOP else reason

    def _take_logprobs(self) -> Logprobs:
        taken, self._logprobs = self._logprobs, ()
        return taken
