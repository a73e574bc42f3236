"""Takes the text of chats' answers apart: thoughts, content and calls of tools."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from llm_inference_api.models.registry import ServedModel
from llm_inference_api.requests.request import Delta, FinishReason, GenerationRequest, Progress, TokenLogprob
from llm_inference_api.requests.tools import ToolCall
from llm_inference_api.text.families.reader import Arguments, Piece, Reader, Said, Thought, reader
from llm_inference_api.text.families.tool_format import ToolFormat

Item = Delta | Progress


async def read(model: ServedModel, request: GenerationRequest, items: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
    """Yields the items, where the request is a chat with each delta's text taken apart."""
    whole = isinstance(request.prompt, str)
    readings: dict[int, Reading] = {}
    async with aclosing(items):
        async for item in items:
            if whole or not isinstance(item, Delta):
                yield item
                continue
            if item.answer not in readings:
                readings[item.answer] = Reading(_reader(model, request))
            for part in readings[item.answer].parts(item):
                yield part


def _reader(model: ServedModel, request: GenerationRequest) -> Reader:
    info = model.status.info
    if info is None:  # The model's process has died since; this answer ends with it.
        return reader(ToolFormat.GENERIC, request.tools, opens_thoughts=False)
    return reader(ToolFormat(info.tool_format), request.tools, opens_thoughts=info.opens_thoughts)


class Reading:
    """One answer on its way through its reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._calls = 0

    def parts(self, delta: Delta) -> list[Delta]:
        """Returns what the delta adds, piece by piece; the last one ends the answer where the delta does."""
        self._logprobs += delta.logprobs
        final = delta.finish_reason is not None
        pieces = self._reader.add(delta.text, final=final)
        parts = [self._part(delta, piece) for piece in pieces]
        if final and not parts:
            parts = [self._part(delta, Said(""))]
        if parts:
            parts[0] = parts[0]._replace(logprobs=self._logprobs)
            self._logprobs = ()
        if final:
            parts[-1] = parts[-1]._replace(finish_reason=self._finish(delta), usage=delta.usage)
        return parts

    def _finish(self, delta: Delta) -> FinishReason | None:
        called = self._calls and delta.finish_reason is FinishReason.STOP
        return FinishReason.TOOL_CALLS if called else delta.finish_reason

    def _part(self, delta: Delta, piece: Piece) -> Delta:
        bare = delta._replace(text="", logprobs=(), finish_reason=None, usage=None)
        match piece:
            case Thought(text):
                return bare._replace(reasoning=text)
            case Said(text):
                return bare._replace(text=text)
            case ToolCall():
                self._calls += 1
                return bare._replace(tool_call=piece, tool_index=self._calls - 1)
            case Arguments(text):
                return bare._replace(tool_call=ToolCall("", "", text), tool_index=self._calls - 1)
