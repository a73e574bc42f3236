from collections.abc import Callable

import pytest
from prometheus_client import generate_latest

from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.requests.events import Stage, Usage
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.step import StepStats
from tests.fakes.model import INFO

CHANGES: dict[str, Callable[[Metrics], None]] = {
    "rpc_started": lambda metrics: metrics.rpc_started(),
    "rpc_ended": lambda metrics: metrics.rpc_ended("/service/Method", "OK", 0.1),
    "first_token": lambda metrics: metrics.first_token("m", 0.1),
    "generated": lambda metrics: metrics.generated("m", "stop", Usage(3, 4, 0), 0.2, 0.1),
    "failed": lambda metrics: metrics.failed("m", "INTERNAL"),
    "embedded": lambda metrics: metrics.embedded("m", 3),
    "rejected": lambda metrics: metrics.rejected("m", "overloaded"),
    "generated_in_background": lambda metrics: metrics.generated_in_background("m", "stop", Usage(3, 2, 0)),
    "spans_lost": lambda metrics: metrics.spans_lost(1),
    "refused_by_envoy": lambda metrics: metrics.refused_by_envoy("404"),
    "draining": lambda metrics: metrics.draining(),
    "status_changed": lambda metrics: metrics.status_changed(ModelStatus("m", "m", State.ACTIVE, info=INFO)),
    "awaits_load": lambda metrics: metrics.awaits_load("m", 2),
    "ranked": lambda metrics: metrics.ranked("m", 3),
    "classified": lambda metrics: metrics.classified("m", 3),
    "loaded": lambda metrics: metrics.loaded("m", 0.1),
    "crashed": lambda metrics: metrics.crashed("m"),
    "stepped": lambda metrics: metrics.stepped("m", StepStats(prompt_tokens=1, cancelled=(Stage.DECODE,), waiting=1)),
}


def value(metrics: Metrics, name: str) -> float | None:
    metrics.text()  # Ages are taken when the metrics are read.
    return metrics.registry.get_sample_value(f"llm_inference_{name}", {"model": "m"})


def lines_of(text: bytes) -> set[bytes]:
    """Returns the lines, without those that differ from one reading to the next."""
    changing = (b"llm_inference_process_", b"llm_inference_queue_oldest_seconds{")
    return {line for line in text.splitlines() if not line.startswith(changing)}


@pytest.mark.parametrize("name", CHANGES)
def test_text_has_what_changed_since_it_was_rendered(name: str) -> None:
    """Whatever is counted is read the next time, though only what changed is rendered again."""
    metrics = Metrics("test")
    before = lines_of(metrics.text())
    CHANGES[name](metrics)
    after = lines_of(metrics.text())
    assert after != before
    assert after == lines_of(generate_latest(metrics.registry))


def test_every_change_is_tried() -> None:
    """The test above leaves out none of the methods that change metrics."""
    methods = {name for name, member in vars(Metrics).items() if callable(member) and not name.startswith("_")}
    assert methods == CHANGES.keys() | {"text"}


def test_gauges_exist_before_the_first_load() -> None:
    """A balancer takes a replica without them for an idle one, and an autoscaler has nothing to go by."""
    metrics = Metrics("test")
    metrics.status_changed(ModelStatus("m", "m"))
    found = {name: value(metrics, name) for name in ("requests_waiting", "requests_running", "kv_cache_usage_ratio")}
    assert set(found.values()) == {0}


def test_gauges_are_what_a_process_last_reported_and_0_when_it_has_ended() -> None:
    """That is no load on the replica then."""
    metrics = Metrics("test")
    metrics.status_changed(ModelStatus("m", "m", State.ACTIVE, info=INFO))
    stats = StepStats(running=3, waiting=4, kv_used=200, kv_cached=100, stored_tokens=50, stored_bytes=6000)
    metrics.stepped("m", stats)
    wanted = {
        "requests_running": stats.running,
        "requests_waiting": stats.waiting,
        "kv_cells_used": stats.kv_used,
        "kv_cells_cached": stats.kv_cached,
        "kv_cache_usage_ratio": stats.kv_used / INFO.cache_tokens,
        "prefix_store_tokens": stats.stored_tokens,
        "prefix_store_bytes": stats.stored_bytes,
    }
    assert {name: value(metrics, name) for name in wanted} == wanted
    metrics.status_changed(ModelStatus("m", "m", State.FAILED))
    assert {name: value(metrics, name) for name in wanted} == dict.fromkeys(wanted, 0)


def test_requests_that_wait_for_a_load_are_seen() -> None:
    """Their number, and a time that grows from one reading to the next and ends with the last of them."""
    metrics = Metrics("test")
    metrics.status_changed(ModelStatus("m", "m"))
    metrics.awaits_load("m", 2)
    assert value(metrics, "requests_waiting") == 2
    first, second = value(metrics, "queue_oldest_seconds"), value(metrics, "queue_oldest_seconds")
    assert first is not None
    assert second is not None
    assert second > first > 0
    metrics.awaits_load("m", 0)
    assert value(metrics, "requests_waiting") == value(metrics, "queue_oldest_seconds") == 0


def test_requests_outside_and_inside_of_the_process_add_up() -> None:
    """Some wait for a suspect's end while others are queued in the model's process."""
    metrics = Metrics("test")
    metrics.status_changed(ModelStatus("m", "m", State.ACTIVE, info=INFO))
    metrics.awaits_load("m", 2)
    metrics.stepped("m", StepStats(waiting=3))
    assert value(metrics, "requests_waiting") == 5
    metrics.awaits_load("m", 0)
    assert value(metrics, "requests_waiting") == 3


def test_tokens_are_counted_once_however_often_they_are_read() -> None:
    """Steps before a reading and after it add up."""
    metrics = Metrics("test")
    for _ in range(2):
        metrics.stepped("m", StepStats(prompt_tokens=3, cached_tokens=2, completion_tokens=1))
        metrics.text()
    found = [value(metrics, f"{name}_tokens_total") for name in ("prompt", "cached", "completion")]
    assert found == [10, 4, 2]
