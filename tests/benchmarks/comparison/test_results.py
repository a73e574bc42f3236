"""Raw figures."""

import json
from pathlib import Path

from benchmarks.comparison.results import Gap, Measurement, Results

KEY = ("streams", "m", "1 stream")


def test_all_is_written_as_json(tmp_path: Path) -> None:
    """Into a directory that may not be there yet."""
    results = Results({"date": "today"}, [Measurement(*KEY, "grpc", 0, {"rate": 1.5})], [Gap(*KEY, "v1", "no")])
    results.limits.append((KEY, 2.0))
    results.write(tmp_path / "new" / "bench.json")
    found = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert found["conditions"] == {"date": "today"}
    assert found["measurements"][0]["figures"] == {"rate": 1.5}
    assert found["gaps"][0]["reason"] == "no"
    assert found["limits"] == [[list(KEY), 2.0]]


def test_ratio_needs_both_columns_of_a_repetition() -> None:
    """One that failed in a repetition has no part in it."""
    measured = [("grpc", 0, 8.0), ("grpc", 1, 9.0), ("llama-server", 1, 3.0)]
    results = Results({}, [Measurement(*KEY, name, repeat, {"rate": value}) for name, repeat, value in measured])
    assert results.ratio(KEY, "rate", ("grpc", "llama-server")) == 3.0
    assert results.ratio(KEY, "rate", ("grpc", "v1")) is None
