"""The Ray Serve application of a model: replicas, their resources, routing and limits."""

import re
import zlib
from dataclasses import dataclass

from ray import serve
from ray.actor import ActorHandle
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter

from llm_inference_api.cluster.replica import Post, Replica, ReplicaJob

_BUSY = 0.7
"""Fraction of the seats in use above which a replica is added."""
_HEALTH_PERIOD = 2.0
"""Seconds between health checks of a replica; a lost machine is noticed by them at the latest."""
_LONGEST_SLUG = 40


class DeployedReplica(Replica):
    """A replica with the start and the end that Ray Serve knows."""

    async def __init__(self, job: ReplicaJob, report: Post) -> None:  # type: ignore[misc]
        """Creates and loads the replica; it gets requests from then on."""
        super().__init__(job, report)
        await self.start()

    async def __del__(self) -> None:
        """Ends the replica; called once its open requests have ended."""
        await self.close()


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas a model has, and what each needs."""

    fewest: int
    most: int
    gpus: float
    drain: float
    """Seconds that a replica's open requests have when it is stopped."""


def application_name(model: str) -> str:
    """Returns the name of a model's application; different ones for different ids."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", model)[:_LONGEST_SLUG]
    return f"llm-{slug}-{zlib.crc32(model.encode()):08x}"


def application(job: ReplicaJob, scale: Scale, memory: int, board: ActorHandle) -> serve.Application:
    """Returns the application.

    Args:
        job: What each replica serves.
        scale: Number of replicas, and their GPUs.
        memory: Bytes that a replica needs; 0 if that is not known before its files are there.
        board: Handle of the actor that takes the replicas' reports.
    """
    seats = job.engine.slots
    resources = {"num_cpus": job.engine.threads, "num_gpus": scale.gpus, "memory": memory}
    deployment = serve.deployment(
        DeployedReplica,
        name="model",
        ray_actor_options={name: amount for name, amount in resources.items() if amount},
        # As many more wait in the replica, so that a seat is taken again at once; others wait for whichever is free.
        max_ongoing_requests=seats + min(seats, job.queue_length),
        # The servers count theirs: Ray would refuse those too that are on their way to a free seat.
        max_queued_requests=-1,
        autoscaling_config=AutoscalingConfig(
            min_replicas=scale.fewest,
            initial_replicas=scale.fewest,
            max_replicas=scale.most,
            target_ongoing_requests=max(1.0, _BUSY * seats),
        ),
        request_router_config=RequestRouterConfig(request_router_class=ConsistentHashRouter),
        graceful_shutdown_timeout_s=scale.drain,
        health_check_period_s=_HEALTH_PERIOD,
    )
    return deployment.bind(job, board.report.remote)
