"""OpenInquiries on their way to a worker and back."""

import asyncio
from typing import Any

import pytest

from llm_inference_api.errors import UnavailableError
from llm_inference_api.requests.inquiry import Embed, Embedding, Token, Tokenize
from llm_inference_api.worker.inquiries import OpenInquiries
from llm_inference_api.worker.messages import Abandon, Answered, Compute, Inquire

TOKENIZE = Tokenize("Hello", True, False)
EMBED = Embed(())


async def begin(*questions: Tokenize | Embed) -> tuple[OpenInquiries, list[Any], list[asyncio.Task[Any]]]:
    """Returns them when they are sent, with the messages and the tasks that wait for answers."""
    sent: list[Any] = []
    inquiries = OpenInquiries(sent.append)
    tasks = [
        asyncio.ensure_future(inquiries.embed(item) if isinstance(item, Embed) else inquiries.find(item))
        for item in questions
    ]
    await asyncio.sleep(0)
    return inquiries, sent, tasks


async def test_answers_find_their_inquiries() -> None:
    """In whatever order they come."""
    inquiries, sent, (first, second, third) = await begin(TOKENIZE, EMBED, TOKENIZE)
    assert sent == [Inquire(0, TOKENIZE), Compute(1, EMBED), Inquire(2, TOKENIZE)]
    assert (len(inquiries), inquiries.embedding) == (3, 1)
    inquiries.settle(Answered(2, (Token(2, b"c"),)))
    inquiries.settle(Answered(1, (Embedding(b"", 1),)))
    inquiries.settle(Answered(0, (Token(0, b"a"),)))
    assert await asyncio.gather(first, second, third) == [(Token(0, b"a"),), (Embedding(b"", 1),), (Token(2, b"c"),)]
    assert (len(inquiries), inquiries.embedding) == (0, 0)


async def test_worker_hears_of_callers_who_leave() -> None:
    """Embeddings take long, and inquiries wait in a queue."""
    inquiries, sent, tasks = await begin(TOKENIZE, EMBED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert sorted(sent[2:]) == [Abandon(0), Abandon(1)]
    assert (len(inquiries), inquiries.embedding) == (0, 0)
    inquiries.settle(Answered(0, ()))
    inquiries.settle(Answered(1, ()))


async def test_answer_to_a_caller_who_leaves_just_now_is_lost() -> None:
    """It comes between the cancel and its effect, and disturbs nothing."""
    inquiries, _, (task,) = await begin(EMBED)
    task.cancel()
    inquiries.settle(Answered(0, ()))
    await asyncio.wait({task})
    assert task.cancelled()


async def test_failing_ends_all() -> None:
    """A worker that is gone answers nobody."""
    inquiries, _, tasks = await begin(TOKENIZE, EMBED)
    inquiries.fail(UnavailableError("WORKER_DIED", "gone"))
    for task in tasks:
        with pytest.raises(UnavailableError, match="gone"):
            await task
    assert tasks[0].exception() is not tasks[1].exception()
    assert len(inquiries) == 0
