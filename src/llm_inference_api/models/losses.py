"""Which errors say that a request was lost through no fault that is known."""

from llm_inference_api.errors import FORWARD_FAILED, WORKER_DIED, ServiceError, UnavailableError


def is_loss(error: ServiceError) -> bool:
    """Returns whether the worker lost the request with its process, or with a step that failed."""
    return isinstance(error, UnavailableError) and error.reason in (WORKER_DIED, FORWARD_FAILED)
