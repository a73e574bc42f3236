"""Counts the tokens of conversations, and drops the oldest turns of those that do not fit the model's context."""

from collections.abc import Sequence
from dataclasses import replace

from llm_inference_api.errors import ContextLengthError
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.models.registry import Registry
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.inquiry import Render
from llm_inference_api.requests.request import GenerationRequest, TokenPrompt
from llm_inference_api.rpc.call import Call

ANSWER_SHARE = 4
"""What the answer has of the context at most, before turns are dropped: one part of so many."""


class Prompts:
    """The prompts that models make of conversations."""

    def __init__(self, inquiries: Inquiries, registry: Registry) -> None:
        self._inquiries = inquiries
        self._registry = registry

    async def count(self, request: GenerationRequest, call: Call) -> int:
        """Returns the number of tokens of a request's prompt. Raises as `Inquiries.inquire`."""
        base, _ = self._registry.adapted(request.model)
        return len(await self._inquiries.inquire(base, Render(request), call))

    async def fitted(self, request: GenerationRequest, call: Call) -> GenerationRequest:
        """Returns the request with as many of its last turns as fit; with the last one alone, if that does not.

        A turn begins with a message of the user. System messages at the beginning remain.

        Raises:
            ServiceError: As `Inquiries.inquire`.
        """
        assert not isinstance(request.prompt, str | TokenPrompt)
        head, starts = _turns(request.prompt)
        least, most = 0, len(starts) - 1
        while least < most:
            middle = 0 if least == 0 and most == len(starts) - 1 else (least + most) // 2
            if await self._fits(_from(request, head, starts[middle]), call):
                most = middle
            else:
                least = middle + 1
        return _from(request, head, starts[most])

    async def _fits(self, request: GenerationRequest, call: Call) -> bool:
        try:
            tokens = await self.count(request, call)
        except ContextLengthError:  # So long a text is not even tokenized.
            return False
        base, _ = self._registry.adapted(request.model)
        context = self._registry.get(base).status.context_length
        if context is None:
            return True
        share = context // ANSWER_SHARE
        return tokens + min(request.stopping.max_tokens or share, share) <= context


def _turns(messages: Sequence[Message]) -> tuple[int, list[int]]:
    """Returns the number of system messages at the beginning, and the indices at which the rest may begin."""
    head = next((index for index, message in enumerate(messages) if message.role != "system"), len(messages))
    later = (index for index in range(head + 1, len(messages)) if messages[index].role == "user")
    return head, [head, *later]


def _from(request: GenerationRequest, head: int, start: int) -> GenerationRequest:
    assert not isinstance(request.prompt, str | TokenPrompt)
    return replace(request, prompt=(*request.prompt[:head], *request.prompt[start:]))
