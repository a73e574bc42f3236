"""Which errors say that a request was lost through no fault that is known."""

from llm_inference_api.errors import FORWARD_FAILED, REPLICA_DIED, WORKER_DIED, ServiceError, UnavailableError


def is_loss(error: ServiceError) -> bool:
    """Returns whether the request was lost with the process or the machine that had it, or with a step that failed."""
    return isinstance(error, UnavailableError) and error.reason in (WORKER_DIED, FORWARD_FAILED, REPLICA_DIED)
