"""Events a second and gaps of SSE streams through Envoy, by compute threads and how long they spin for each other.

Run as `python -m benchmarks.threads [--streams 1,6] [--seconds 8]`; smollm2 must be installed.
"""

import argparse
import os
import subprocess
import sys
import threading
import time

import httpx

from tests.fakes.ports import free_port

SETTINGS: dict[str, dict[str, str]] = {
    "2 threads, libgomp's default": {"LLM_THREADS": "2", "GOMP_SPINCOUNT": "300000"},
    "2 threads, 10,000 rounds": {"LLM_THREADS": "2", "GOMP_SPINCOUNT": "10000"},
    "2 threads, 1,000 rounds": {"LLM_THREADS": "2", "GOMP_SPINCOUNT": "1000"},
    "2 threads, passive": {"LLM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
    "1 thread": {"LLM_THREADS": "1"},
}
COMMAND = (sys.executable, "-c", "from llm_inference_api.cli.main import main; main()", "serve")
WARM_UP = 1.0
"""Seconds."""


def measure(streams: int, seconds: float, variables: dict[str, str]) -> tuple[float, float]:
    """Returns the events a second of all streams together, and the 99th percentile of their gaps in seconds."""
    port = free_port()
    ports = {"LLM_INFERENCE_PORT": str(port), "LLM_GRPC_PORT": str(free_port())}
    environment = {**os.environ, "LLM_ALLOWED_MODELS": "smollm2", **ports, **variables}
    service = subprocess.Popen(COMMAND, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url)
        gaps: list[float] = []
        begun = time.monotonic()
        end = begun + WARM_UP + seconds
        readers = [threading.Thread(target=_read, args=(url, index, end, gaps)) for index in range(streams)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        gaps.sort()
        return len(gaps) / (time.monotonic() - begun), gaps[int(len(gaps) * 0.99)]
    finally:
        service.terminate()
        service.wait()


def _wait(url: str) -> None:
    while True:
        try:
            if httpx.get(f"{url}/health/ready", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)


def _read(url: str, index: int, end: float, gaps: list[float]) -> None:
    body = {"prompt": f"Story {index}: once upon a time", "max_tokens": 400, "ignore_eos": True}
    with httpx.Client(base_url=url, timeout=60) as http:
        while time.monotonic() < end:
            last: float | None = None
            with http.stream("POST", "/api/generate/stream", json=body) as answer:
                for _ in filter(None, answer.iter_lines()):
                    now = time.monotonic()
                    if last is not None:
                        gaps.append(now - last)
                    last = now
                    if now > end:
                        break


def main() -> None:
    """Prints a line for each setting, twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", default="1,6")
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    for streams in map(int, arguments.streams.split(",")):
        for _ in range(2):
            for name, variables in SETTINGS.items():
                rate, gap = measure(streams, arguments.seconds, variables)
                print(f"{streams} streams, {name}: {rate:.1f} events/s, gap p99 {1000 * gap:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
