"""A service for agents, and a proxy that makes the decisions of its model, since random weights make none."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

import llm_inference_api.demo
from tests.e2e.service import RunningService, run_service
from tests.fakes.gguf import write_tiny_model

Body = dict[str, Any]
DEMO = Path(llm_inference_api.demo.__file__).with_name("demo.gguf")


@contextmanager
def agent_service(directory: Path, context: int) -> Iterator[RunningService]:
    """Yields a service with room for what an agent says of itself and its tools, in tokens of several bytes."""
    write_tiny_model(directory / "tiny.gguf", context_length=context, vocabulary_of=DEMO)
    variables = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf",
        "LLM_PRELOAD_MODELS": "tiny",
        "LLM_KV_CACHE_TOKENS": str(context),
    }
    with run_service(directory, directory, **variables) as running:
        yield running


@contextmanager
def deciding(service: RunningService, decided: Callable[[Body], Body]) -> Iterator[tuple[str, list[Body]]]:
    """Yields the proxy's address, and the requests that it was sent.

    Args:
        service: What answers.
        decided: Returns a request with the decisions that are left to the model.
    """
    seen: list[Body] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            with httpx.stream("POST", service.url + self.path, json=decided(seen[-1]), timeout=100) as answer:
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers["content-type"])
                self.end_headers()
                for data in answer.iter_bytes():
                    self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()
            thread.join()
