from llm_inference_api.cluster.report import Report
from llm_inference_api.cluster.summary import SUMMED, Summary
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.step import StepStats

ABSENT = ModelStatus("m", "m")


def summary(**states: State) -> Summary:
    """Returns the summary of replicas in these states, by name."""
    made = Summary()
    for replica, state in states.items():
        made.add(Report("m", replica, ModelStatus("m", "m", state, memory=10), build=f"build of {replica}"))
    return made


def test_model_without_replicas_is_as_if_there_were_none() -> None:
    assert Summary().status(ABSENT) is ABSENT


def test_model_is_active_where_one_replica_is() -> None:
    assert summary(a=State.LOADING, b=State.ACTIVE, c=State.FAILED).status(ABSENT).state is State.ACTIVE


def test_model_takes_the_memory_of_all_replicas() -> None:
    assert summary(a=State.ACTIVE, b=State.ACTIVE).status(ABSENT).memory == 20


def test_replicas_that_load_answer_nothing_yet() -> None:
    assert not summary(a=State.DOWNLOADING, b=State.LOADING).is_ready


def test_replica_whose_load_failed_answers_with_the_reason() -> None:
    assert summary(a=State.FAILED).is_ready


def test_replica_that_is_gone_counts_no_more() -> None:
    made = summary(a=State.ACTIVE)
    made.add(Report("m", "a", None))
    assert made.is_empty
    assert not made.has_build("build of a")


def test_gauges_are_those_of_all_replicas() -> None:
    """The counters are those of the step alone."""
    made = summary(a=State.ACTIVE, b=State.ACTIVE)
    made.step("a", StepStats(completion_tokens=5, running=2, oldest_waiting=1.0))
    assert made.step("b", StepStats(completion_tokens=1, running=3)) == StepStats(
        completion_tokens=1, running=5, oldest_waiting=1.0
    )


def test_gauges_of_a_replica_that_is_gone_count_no_more() -> None:
    """Else what it ran last would run for ever."""
    made = summary(a=State.ACTIVE, b=State.ACTIVE)
    made.step("a", StepStats(running=2, oldest_waiting=1.0))
    made.step("b", StepStats(running=3))
    made.add(Report("m", "a", None))
    assert made.with_gauges(StepStats()) == StepStats(running=3)


def test_no_gauge_is_left_to_a_single_replica() -> None:
    """A step's statistics are these gauges, the longest wait, and what is counted for each step."""
    counted = {"seconds", "prompt_tokens", "cached_tokens", "completion_tokens", "queue_seconds", "cancelled"}
    assert {*SUMMED, "oldest_waiting"} | counted == set(StepStats._fields)
