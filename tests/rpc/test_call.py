"""What a handler may ask of its RPC."""

import time
from dataclasses import dataclass

import grpc
import pytest

from llm_inference_api.rpc.call import Call


@dataclass
class FakeContext:
    """gRPC's side of an RPC whose deadline a test moves."""

    left: float | None

    def time_remaining(self) -> float | None:
        return self.left


@pytest.mark.parametrize(
    ("timeout", "left", "code"),
    [
        (None, None, "CANCELLED"),
        (60.0, 30.0, "CANCELLED"),
        (12.4, 0.2, "CANCELLED"),
        (60.0, 0.0, "DEADLINE_EXCEEDED"),
        (0.05, 0.001, "DEADLINE_EXCEEDED"),
        # 12.345 s at the caller, whose `grpc-timeout` said 12.4 s.
        (12.4, 0.055, "DEADLINE_EXCEEDED"),
    ],
)
def test_call_that_is_cut_off_near_its_deadline_is_late(timeout: float | None, left: float | None, code: str) -> None:
    """The caller's clock ends the RPC, and the service's is later by what gRPC rounds and by the request's way."""
    context = FakeContext(timeout)
    call = Call("/a.Service/Method", "r1", "10.1.2.3", context)  # type: ignore[arg-type]
    context.left = left
    assert call.cut_off_code() is grpc.StatusCode[code]


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_clock_that_is_set_moves_no_deadline(monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    """gRPC's context subtracts the system's clock; a caller who leaves is not late because somebody set it."""
    context = FakeContext(60.0)
    call = Call("/a.Service/Method", "r1", "10.1.2.3", context)  # type: ignore[arg-type]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    context.left = max(60.0 - jump, 0.0)
    remaining = call.time_remaining()
    assert remaining is not None
    assert 0.0 < remaining <= 60.0
    assert call.cut_off_code() is grpc.StatusCode.CANCELLED
