from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.requests.model_status import ModelStatus


def value(metrics: Metrics, name: str) -> float | None:
    metrics.text()  # Ages are taken when the metrics are read.
    return metrics.registry.get_sample_value(f"llm_inference_{name}", {"model": "m"})


def test_requests_that_wait_for_room_are_seen() -> None:
    """Their number, and a time that grows from one reading to the next and ends with the last of them."""
    metrics = Metrics("test")
    metrics.status_changed(ModelStatus("m", "m"))
    metrics.awaits_room("m", 2)
    assert value(metrics, "requests_waiting") == 2
    first, second = value(metrics, "queue_oldest_seconds"), value(metrics, "queue_oldest_seconds")
    assert first is not None
    assert second is not None
    assert second > first > 0
    metrics.awaits_room("m", 0)
    assert value(metrics, "requests_waiting") == value(metrics, "queue_oldest_seconds") == 0
