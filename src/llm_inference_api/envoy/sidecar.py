"""`Sidecar`: what Envoy's bootstrap depends on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from llm_inference_api.envoy.guard import PagePolicy
from llm_inference_api.envoy.tls import EdgeTls, UpstreamTls
from llm_inference_api.envoy.tracing import TracerChoice
from llm_inference_api.envoy.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Parameters of a bootstrap."""

    listen: str = "0.0.0.0"
    port: int = 8091
    upstreams: Sequence[Upstream] = (Upstream("127.0.0.1", 50051),)
    """The service's gRPC address; several for a front proxy, see `replicas.py`."""
    more_addresses: Sequence[str] = ()
    """Further addresses to listen on, at the same ports."""
    upstream_socket: str | None = None
    """Path of the service's Unix socket, used instead of `upstreams`."""
    upstream_tls: UpstreamTls | None = None
    tls: EdgeTls | None = None
    descriptor: str = "/etc/envoy/descriptor.pb"
    """Path of the descriptor set on Envoy's machine."""
    write_timeout: float = 60.0
    """Seconds that a reader has for what is left of an answer once the service has ended it."""
    pages: PagePolicy = field(default_factory=PagePolicy)
    longest_request: float = 3600.0
    """Maximum duration of a request in seconds, from which the idle timeout of streams is derived."""
    admin_port: int | None = None
    """Port of Envoy's admin interface, on the loopback address, which every user of the machine can reach; None for
    none."""
    admin_socket: str | None = None
    """Path of a Unix socket of the admin interface that only Envoy's user can reach; None for none."""
    metrics_port: int | None = None
    """Port with Envoy's own metrics, which come from its admin interface; None for none."""
    ollama_port: int | None = None
    """Port of Ollama's API; None for none."""
    access_log: bool = False
    tracer: TracerChoice | None = None


def descriptor_path() -> Path:
    """Returns the path of the descriptor set installed with the stubs."""
    return Path(str(files("llm_inference.v1").joinpath("descriptor.pb")))
