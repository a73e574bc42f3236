"""What a replica needs, as far as it is known before a machine has the model's files."""

from functools import partial

from llm_inference_api.cluster.replica import ReplicaJob
from llm_inference_api.errors import ServiceError
from llm_inference_api.models.footprint import Room, estimate
from llm_inference_api.models.memory_budget import available_memory
from llm_inference_api.models.source import read_files
from llm_inference_api.requests.reference import HubOrigin, parts


async def known_footprint(job: ReplicaJob) -> int:
    """Returns the bytes that the model and its cache take; 0 if this server does not have its file."""
    try:
        return await read_files(partial(_footprint, job))
    except (ServiceError, OSError):
        return 0


def _footprint(job: ReplicaJob) -> int:
    if isinstance(job.reference.origin, HubOrigin):
        return 0
    path = job.reference.path(job.sources.model_path)
    if path.is_dir():
        return 0
    budget = job.memory or available_memory()
    files = tuple(path.with_name(name) for name in parts(path.name))
    room, engine = Room(budget, budget), job.engine
    return estimate(files, engine.context, room, engine.prefix_store, slots=engine.slots).total
