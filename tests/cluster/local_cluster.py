"""A Ray cluster on this machine: a head without processors, and nodes with as many as is said, whatever there are."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.service import RunningService, descendants, run_service

_STORE = 80 << 20
"""Bytes of a node's object store, which requests do not use; Ray's minimum is 75 MiB."""


class LocalCluster:
    """Nodes that can be added and killed."""

    def __init__(self, nodes: int, processors: int = 1) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - an extra

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE}
        self._processors = processors
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.add_node() for _ in range(nodes)]

    @property
    def address(self) -> str:
        """What LLM_CLUSTER is to be."""
        return str(self._cluster.address)

    @property
    def machines(self) -> list[int]:
        """Process ids of the nodes, whose descendants have the models."""
        return [info.process.pid for node in self.nodes for info in node.all_processes["raylet"]]

    def add_node(self, **resources: int) -> Any:
        """Adds a node, which may have less memory than the machine."""
        return self._cluster.add_node(num_cpus=self._processors, object_store_memory=_STORE, **resources)

    @property
    def head(self) -> Any:
        """The head node, which has no replicas."""
        return self._cluster.head_node

    def boards(self) -> list[int]:
        """Returns the process ids of the boards on the head."""
        pids = [pid for info in self.head.all_processes["raylet"] for pid in descendants(info.process.pid)]
        return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::Board")]

    def kill(self, node: Any) -> None:
        """Ends a node and all its processes at once."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        """Ends all nodes."""
        self._cluster.shutdown()


@contextmanager
def local_cluster(nodes: int = 2, processors: int = 1) -> Iterator[LocalCluster]:
    """Yields a cluster."""
    cluster = LocalCluster(nodes, processors)
    try:
        yield cluster
    finally:
        cluster.close()


@contextmanager
def run_on(cluster: LocalCluster, directory: Path, models: Path, **variables: str) -> Iterator[RunningService]:
    """Yields a service whose model `tiny` has a replica on each of two nodes."""
    fixed: Mapping[str, str] = {
        "LLM_ALLOWED_MODELS": "tiny=tiny.gguf",
        "LLM_CLUSTER": cluster.address,
        "LLM_CLUSTER_REPLICAS": "2",
        "LLM_MAX_CONCURRENT_REQUESTS": "4",
        "LLM_MEMORY_BUDGET": "1GiB",
    }
    with run_service(directory, models, **{**fixed, **variables}) as service:
        yield service
