"""A name that stands for replicas, such as a headless service's in Kubernetes."""

import json
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx

from llm_inference_api.envoy.bootstrap import bootstrap
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.tracing import TracerChoice
from llm_inference_api.observability.otlp import OtlpTarget
from tests.e2e.replicas import render_front, run_envoy
from tests.fakes.dns import FakeDns
from tests.fakes.ports import free_port
from tests.fakes.replica import FakeReplica

TTL = 1


def asking(config: dict[str, Any], dns: FakeDns) -> dict[str, Any]:
    """Has Envoy ask this name server instead of the machine's."""
    server = {"socket_address": {"address": "127.0.0.1", "port_value": dns.port}}
    kind = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    resolver = {"name": "envoy.network.dns_resolver.cares", "typed_config": {"@type": kind, "resolvers": [server]}}
    return config | {"typed_dns_resolver_config": resolver}


def test_every_address_of_a_name_is_a_replica(tmp_path: Path) -> None:
    """One that comes is found within the answer's time to live; one that leaves the name and ends is forgotten."""
    port = free_port()
    hosts = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    dns = FakeDns(hosts[:2], TTL)
    front, config = render_front("--upstream", f"llm-headless.test:{port}")
    with ExitStack() as stack:
        stack.enter_context(dns.serve())
        for host in hosts[1:]:
            stack.enter_context(FakeReplica(host).serve(host, port))
        with FakeReplica(hosts[0]).serve(hosts[0], port):
            stack.enter_context(run_envoy(tmp_path, asking(config, dns)))
            front.wait_for_healthy(2)
            dns.addresses = hosts
            front.wait_for_healthy(3)
            dns.addresses = hosts[1:]
        front.wait_for_healthy(2)
        texts = [{"messages": [{"role": "user", "content": str(number)}]} for number in range(20)]
        answers = [httpx.post(f"{front.url}/api/chat", json=text, timeout=10).json() for text in texts]
        assert {answer["id"] for answer in answers} == set(hosts[1:])


def test_name_server_that_does_not_answer_keeps_no_envoy_from_listening(tmp_path: Path) -> None:
    """The collector's name matters to traces only."""
    tracer = TracerChoice(OtlpTarget("http://collector.test:4317"), "mine", 1.0)
    sidecar = Sidecar(listen="127.0.0.1", port=free_port(), tracer=tracer, descriptor=str(descriptor_path()))
    silent = FakeDns([], TTL)  # It is not served.
    with closing(silent._socket), run_envoy(tmp_path, asking(json.loads(bootstrap(sidecar)), silent)):
        deadline = time.monotonic() + 15  # c-ares gives up later.
        while True:
            with suppress(httpx.TransportError):
                assert httpx.get(f"http://127.0.0.1:{sidecar.port}/health/ready").status_code == 503
                return
            assert time.monotonic() < deadline
            time.sleep(0.05)
