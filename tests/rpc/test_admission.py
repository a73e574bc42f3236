import pytest

from llm_inference_api.errors import OverloadedError, UnavailableError
from llm_inference_api.rpc.admission import Admission


def test_caller_at_the_limit_is_refused() -> None:
    """One caller's open requests are bounded; another's are not concerned."""
    gate = Admission(limit_per_caller=2)
    with gate.passage("ann"), gate.passage("ann"):
        with pytest.raises(OverloadedError) as error, gate.passage("ann"):
            pass
        with gate.passage("bob"):
            pass
    assert error.value.retry_after > 0
    with gate.passage("ann"):
        pass


async def test_refused_call_leaves_no_trace() -> None:
    """What was not let in is not waited for."""
    gate = Admission(limit_per_caller=1)
    with gate.passage("ann"):
        assert not await gate.empty(0.01)
        with pytest.raises(OverloadedError), gate.passage("ann"):
            pass
    assert await gate.empty(1)


def test_closed_gate_refuses_everybody() -> None:
    """Once the service stops, no call begins."""
    gate = Admission()
    gate.close()
    with pytest.raises(UnavailableError), gate.passage("ann"):
        pass
