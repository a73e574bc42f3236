"""The output of llama-batched-bench."""

from benchmarks.comparison.limit import read


def test_rates_include_the_time_of_prompts() -> None:
    """Generated tokens over the whole time, by the number of streams; other lines are passed over."""
    output = """
main: n_kv_max = 16384
{"n_kv_max": 16384, "pp": 32, "tg": 64, "pl": 1, "t_pp": 0.5, "t_tg": 1.5, "speed_tg": 42.6, "t": 2.0}
{"n_kv_max": 16384, "pp": 32, "tg": 64, "pl": 8, "t_pp": 2.0, "t_tg": 6.0, "speed_tg": 85.3, "t": 8.0}
"""
    assert read(output) == {1: 32.0, 8: 64.0}
