"""Conversations that are cut to the model's context."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llm_inference_api.api.openai.responses.prompts import Prompts
from llm_inference_api.errors import ContextLengthError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.inquiry import Render
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping

CONTEXT = 100
UNREAD = 1000
"""A text of more is refused before it is tokenized."""
CALL: Any = None


@dataclass
class FakeModel:
    """A model whose prompts have as many tokens as their messages have characters."""

    asked: list[int] = field(default_factory=list)

    def adapted(self, model: str) -> tuple[str, str | None]:
        return model, None

    def get(self, model: str) -> Any:
        return SimpleNamespace(status=SimpleNamespace(context_length=CONTEXT))

    async def inquire(self, model: str, render: Render, call: Any) -> tuple[int, ...]:
        self.asked.append(size(render.request))
        if size(render.request) > UNREAD:
            raise ContextLengthError(size(render.request), CONTEXT, False)
        return (0,) * size(render.request)


def size(request: GenerationRequest) -> int:
    return sum(len(message.content) for message in cast("tuple[Message, ...]", request.prompt))


def request(*messages: Message, max_tokens: int | None = None) -> GenerationRequest:
    return GenerationRequest("resp_1", messages, Sampling(seed=0), Stopping(max_tokens), model="m")


def turns(count: int, length: int) -> list[Message]:
    return [
        message
        for number in range(count)
        for message in (Message("user", f"{number}".ljust(length)), Message("assistant", "ok"))
    ]


async def fitted(asked: GenerationRequest) -> tuple[Message, ...]:
    model = FakeModel()
    found = await Prompts(cast("Any", model), cast("Any", model)).fitted(asked, CALL)
    return cast("tuple[Message, ...]", found.prompt)


async def test_what_fits_is_left_as_it_is() -> None:
    asked = request(*turns(3, 10), Message("user", "last"))
    assert await fitted(asked) == asked.prompt


@pytest.mark.parametrize("count", range(4, 12))
async def test_as_many_of_the_last_turns_remain_as_fit(count: int) -> None:
    """A quarter of the context is the answer's: 75 tokens are three turns of 22 and the question."""
    messages = turns(count, 20)
    found = await fitted(request(*messages, Message("user", "last")))
    assert found == (*messages[-6:], Message("user", "last"))


async def test_short_answer_leaves_more_to_the_turns() -> None:
    messages = turns(8, 20)
    found = await fitted(request(*messages, Message("user", "last"), max_tokens=5))
    assert found == (*messages[-8:], Message("user", "last"))


async def test_system_message_remains() -> None:
    system = Message("system", "s" * 10)
    found = await fitted(request(system, *turns(8, 20), Message("user", "last")))
    assert found[0] == system
    assert found[1].role == "user"


async def test_last_turn_remains_whatever_its_size() -> None:
    last = Message("user", "x" * 200)
    assert await fitted(request(*turns(3, 20), last)) == (last,)


async def test_conversation_too_long_to_be_counted_is_cut() -> None:
    messages = turns(60, 20)
    assert await fitted(request(*messages, Message("user", "last"))) == (*messages[-6:], Message("user", "last"))


async def test_few_renderings_find_the_cut() -> None:
    model = FakeModel()
    await Prompts(cast("Any", model), cast("Any", model)).fitted(request(*turns(500, 20)), CALL)
    assert len(model.asked) <= 11
