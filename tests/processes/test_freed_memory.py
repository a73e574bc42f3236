import subprocess
import sys

HOLES = """
import ctypes, time
from pathlib import Path
from llm_inference_api.processes.freed_memory import release_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
blocks = [ctypes.c_void_p(libc.malloc(65_000)) for _ in range(2_000)]
for block in blocks:
    ctypes.memset(block, 1, 65_000)
for block in blocks[:-1]:
    libc.free(block)
before = resident()
release_freed_memory(0.01)
deadline = time.monotonic() + 60
while resident() > before - 100_000_000:
    assert time.monotonic() < deadline, (before, resident())
    time.sleep(0.01)
"""
"""Frees 130 MB that lie below a block in use."""


def test_memory_between_what_is_in_use_is_given_back() -> None:
    subprocess.run([sys.executable, "-c", HOLES], check=True)
