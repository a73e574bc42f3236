import subprocess
import sys

KEPT = """
import gc
from llm_inference_api.processes.garbage import kept

with kept():
    made = [[] for _ in range(10_000)]
    assert not gc.isenabled()
assert gc.isenabled()
assert gc.get_freeze_count() > 10_000
made_later = []
walked = list(map(id, gc.get_objects()))
assert id(made_later) in walked
assert id(made) not in walked
"""


def test_collector_does_not_walk_what_is_kept() -> None:
    """And what is made later, it does."""
    subprocess.run([sys.executable, "-c", KEPT], check=True)
