import pytest

from llm_inference_api.errors import OverloadedError, UnavailableError
from llm_inference_api.rpc.admission import Admission


def test_caller_at_the_limit_is_refused() -> None:
    """One caller's open requests are bounded; another's are not concerned."""
    admission = Admission(limit_per_caller=2)
    with admission.passage("ann"), admission.passage("ann"):
        with pytest.raises(OverloadedError) as error, admission.passage("ann"):
            pass
        with admission.passage("bob"):
            pass
    assert error.value.retry_after > 0
    with admission.passage("ann"):
        pass


async def test_refused_call_leaves_no_trace() -> None:
    """What was not let in is not waited for."""
    admission = Admission(limit_per_caller=1)
    with admission.passage("ann"):
        assert not await admission.empty(0.01)
        with pytest.raises(OverloadedError), admission.passage("ann"):
            pass
    assert await admission.empty(1)


def test_closed_gate_refuses_everybody() -> None:
    """Once the service stops, no call begins."""
    admission = Admission()
    admission.close()
    with pytest.raises(UnavailableError), admission.passage("ann"):
        pass


def test_calls_in_flight_are_counted() -> None:
    """Of all callers together, until they end."""
    admission = Admission()
    with admission.passage("ann"), admission.passage("ann"), admission.passage("bob"):
        assert admission.in_flight == 3
    assert admission.in_flight == 0
