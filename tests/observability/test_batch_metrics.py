"""Metrics of batches, as Prometheus reads them."""

from llm_inference_api.observability.metrics import Metrics


def lines(metrics: Metrics) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if line.startswith("llm_inference_batch")]


def test_text_has_what_changed_since_it_was_rendered() -> None:
    """Lines by what became of them, batches by state, and the store's bytes."""
    metrics = Metrics("test")
    assert 'llm_inference_batch_lines_total{outcome="failed"} 0.0' in lines(metrics)
    metrics.batches.answered(is_error=True)
    assert 'llm_inference_batch_lines_total{outcome="failed"} 1.0' in lines(metrics)
    metrics.batches.stored({"in_progress": 2}, 4096)
    assert 'llm_inference_batches{status="in_progress"} 2.0' in lines(metrics)
    assert "llm_inference_batch_store_bytes 4096.0" in lines(metrics)
    with metrics.batches.running_line():
        assert "llm_inference_batch_lines_running 1.0" in lines(metrics)
    assert "llm_inference_batch_lines_running 0.0" in lines(metrics)
