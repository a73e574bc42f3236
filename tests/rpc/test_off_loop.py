"""What is computed on the event loop's thread, and what is not."""

import threading

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.events import Usage
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.rpc.off_loop import off_loop, written_size


def thread_of(_: object) -> threading.Thread:
    return threading.current_thread()


async def test_large_work_leaves_the_event_loop() -> None:
    """A small request is read at once; a large one in a thread, while the loop serves others."""
    assert await off_loop(100, thread_of, None) is threading.current_thread()
    assert await off_loop(1 << 20, thread_of, None) is not threading.current_thread()


async def test_error_of_work_elsewhere_is_raised() -> None:
    """A request that is refused is refused in either place."""

    def refuse() -> None:
        raise InvalidFieldError("prompt", "is missing")

    for size in (100, 1 << 20):
        with pytest.raises(InvalidFieldError, match="prompt: is missing"):
            await off_loop(size, refuse)


def test_log_probabilities_make_an_answer_large() -> None:
    """A text of the same length is written at once."""
    usage = Usage(1, 1000, 0)
    plain, scored = (GenerationRequest("a", "hi", Sampling(0, logprobs=logprobs)) for logprobs in (None, 20))
    assert written_size(plain, usage) < 16 << 10 < written_size(scored, usage)
