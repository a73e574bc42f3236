"""Which errors say that a request was lost through no fault that is known."""

from llm_inference_api.errors import (
    FORWARD_FAILED,
    REPLICA_DIED,
    RPC_SERVER_LOST,
    WORKER_DIED,
    ServiceError,
    UnavailableError,
)

_LOSSES = (WORKER_DIED, FORWARD_FAILED, RPC_SERVER_LOST, REPLICA_DIED)


def is_loss(error: ServiceError) -> bool:
    """Returns whether the request was lost with the process or the machine that had it, or with a step that failed."""
    return isinstance(error, UnavailableError) and error.reason in _LOSSES
