"""Markdown of results."""

from benchmarks.comparison.results import LIMIT, Gap, Measurement, Results
from benchmarks.comparison.table import markdown, number
from benchmarks.comparison.workloads import Case, Row, Workload, streams

ROWS = (Row("rate", "1 stream, tokens/s"), Row("first", "… first token, s", 2, is_less_better=True))
WORK = Workload("streams", "m", (Case("1 stream", streams(1), ROWS),), ("grpc", "v1", "llama-server"))
KEY = ("streams", "m", "1 stream")


def results(**columns: list[tuple[float, float]]) -> Results:
    """Rates and times to the first token of columns, by repetition."""
    return Results(
        {"date": "today", "settings": ""},
        [
            Measurement(*KEY, name.replace("_", "-"), repeat, {"rate": rate, "first": first})
            for name, values in columns.items()
            for repeat, (rate, first) in enumerate(values)
        ],
    )


def lines(found: Results) -> list[str]:
    return markdown(found, [WORK], {"m": "Model"}).splitlines()


def test_median_and_range_are_told() -> None:
    """A single value stands alone."""
    found = lines(results(grpc=[(10.0, 1.0), (30.0, 1.0), (20.0, 1.0)], v1=[(5.0, 2.5)]))
    assert found[2] == "| Model | gRPC | `/v1` |"
    assert found[4] == "| 1 stream, tokens/s | 20.0 (10.0–30.0) | 5.0 |"


def test_ratios_are_of_the_same_repetition_and_above_one_where_the_service_is_better() -> None:
    """For a time the other way round."""
    found = lines(results(grpc=[(10.0, 1.0), (40.0, 1.0)], llama_server=[(10.0, 2.0), (20.0, 4.0)]))
    assert found[4].endswith("| 1.50 |")
    assert found[5].endswith("| 3.00 |")


def test_envoys_part_has_its_row() -> None:
    """Of one stream, where both wires were measured."""
    assert "| … through Envoy, as a part of gRPC |  | 0.90 |" in lines(results(grpc=[(10.0, 1.0)], v1=[(9.0, 1.0)]))


def test_the_limit_has_its_column() -> None:
    """At the rate alone."""
    found = results(grpc=[(10.0, 1.0)])
    found.limits.append((KEY, 12.0))
    assert lines(found)[4:6] == ["| 1 stream, tokens/s | 10.0 | 12.0 |", "| … first token, s | 1.00 |  |"]


def test_what_cannot_be_measured_says_why_once() -> None:
    """Below the tables."""
    found = results(grpc=[(10.0, 1.0)])
    found.gaps += [Gap(*KEY, "v1", "It cannot."), Gap(*KEY, LIMIT, "It cannot.")]
    assert lines(found)[4] == "| 1 stream, tokens/s | 10.0 | no [1] | no [1] |"
    assert lines(found)[-1] == "1. It cannot."


def test_a_figure_that_a_measurement_did_not_give_is_none() -> None:
    """Such as the time of refusals where nothing was refused."""
    found = results(grpc=[(10.0, 1.0)])
    del found.measurements[0].figures["first"]
    found.measurements.append(Measurement(*KEY, "v1", 0, {"rate": 9.0, "first": 1.0}))
    assert "| … first token, s | none | 1.00 |" in lines(found)


def test_conditions_come_first() -> None:
    """Those that say something."""
    assert lines(results(grpc=[(1.0, 1.0)]))[0].startswith("date: today. Medians")


def test_large_numbers_have_no_digits_behind_the_point() -> None:
    """But commas."""
    assert (number(1234.5, 1), number(12.34, 1), number(0.5, 2)) == ("1,234", "12.3", "0.50")
