"""What is computed on the event loop's thread, and what is not."""

import threading

import pytest

from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.rpc.off_loop import off_loop


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
