"""Assembles whole answers from events."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from llm_inference_api.requests.events import (
    CallPart,
    End,
    Event,
    FinishReason,
    Logprobs,
    Piece,
    Progress,
    Text,
    Thought,
    TokenLogprob,
    Usage,
)
from llm_inference_api.requests.tools import ToolCall


@dataclass(slots=True)
class Answer:
    """One answer of a request, accumulated from its events."""

    index: int
    text: str = ""
    thoughts: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    scores: tuple[Logprobs, ...] = ()
    """Log probabilities of the texts that the request gives."""
    reason: FinishReason | None = None
    """None until the answer ends."""
    max_tokens: int = 0
    """See `End`."""
    ignored: tuple[str, ...] = ()
    """Names of the request's keywords that the answer does not follow."""
    stop: str = ""
    """See `End`."""

    def add(self, event: Piece | End) -> None:
        """Appends an event of this answer."""
        match event:
            case Text(text, _, logprobs):
                self.text += text
                self.logprobs += logprobs
            case Thought(text):
                self.thoughts += text
            case CallPart(call, call_id, name, arguments):
                self._continue(call, ToolCall(call_id, name, arguments))
            case End(reason):
                self.reason, self.max_tokens, self.ignored = reason, event.max_tokens, event.ignored
                self.stop = event.stop
                self.scores = event.scores

    def _continue(self, call: int, part: ToolCall) -> None:
        if call == len(self.calls):
            self.calls.append(part)
        else:
            begun = self.calls[call]
            self.calls[call] = ToolCall(begun.id, begun.name, begun.arguments + part.arguments)


def whole_answers(events: Iterable[Event]) -> tuple[list[Answer], Usage]:
    """Returns all answers of a request, ordered by index, and their total usage."""
    answers: dict[int, Answer] = {}
    usage = None
    for event in events:
        if isinstance(event, Progress):
            continue
        answers.setdefault(event.answer, Answer(event.answer)).add(event)
        if isinstance(event, End) and event.usage is not None:
            usage = event.usage
    assert usage is not None
    return [answers[index] for index in sorted(answers)], usage
