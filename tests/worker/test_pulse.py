"""How often a lane says that it is alive."""

import pytest

from llm_inference_api.processes.throttle import Throttle
from llm_inference_api.worker.messages import Alive, Lane
from llm_inference_api.worker.pulse import Pulse


@pytest.mark.parametrize(("bound", "reports"), [(1000.0, 1), (0.0, 100)])
def test_pulse_reports_at_once_and_then_once_an_interval(bound: float, reports: int) -> None:
    """It may be asked for at every step of the work."""
    sent: list[Alive] = []
    pulse = Pulse(Lane.EMBEDDINGS, bound, sent.append)
    for _ in range(100):
        pulse.beat()
    assert sent == [Alive(Lane.EMBEDDINGS)] * reports


def test_throttle_passes_again_when_its_interval_is_over() -> None:
    """The interval begins with what has passed."""
    times = iter([10.0, 10.5, 11.5, 12.0, 12.6])
    throttle = Throttle(1.0, lambda: next(times))
    assert [throttle.passes() for _ in range(5)] == [True, False, True, False, True]
