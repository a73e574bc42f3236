from llm_inference_api.requests.inquiry import Tokenize
from llm_inference_api.requests.request import GenerationRequest, Sampling
from llm_inference_api.worker.messages import Inquire
from llm_inference_api.worker.preparation_queue import PreparationQueue


def request(name: str) -> GenerationRequest:
    return GenerationRequest(name, "Hello", Sampling(0))


def test_request_that_nobody_waits_for_is_not_prepared() -> None:
    """Callers who leave cost those behind them nothing: not the time of their constraints, for one."""
    skipped: list[str] = []
    requests = PreparationQueue(skipped.append)
    for name in ("left", "waits", "left too"):
        requests.put(request(name))
    inquiry = Inquire(1, Tokenize("Hello", True, False))
    requests.put(inquiry)
    for name in ("left", "left too", "unknown"):
        requests.cancel(name)
    assert requests.get() == request("waits")
    assert requests.get() == inquiry
    assert skipped == ["left", "left too"]
