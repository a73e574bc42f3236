"""Errors that are reported to callers. `rpc/statuses.py` maps each class to its gRPC status.

The classes take positional arguments only: they are sent through the pipe between worker and server, and pickle stores
an exception as its class and `args`.
"""

import errno
import socket
from collections.abc import Sequence

WORKER_DIED = "WORKER_DIED"
"""Reason of UnavailableError: the process that computes the model has ended."""
FORWARD_FAILED = "FORWARD_FAILED"
"""Reason of UnavailableError: a step has failed, and with it all requests in it."""
RPC_SERVER_LOST = "RPC_SERVER_LOST"
"""Reason of UnavailableError: a server that holds a part of the model is gone, and the model's process with it."""
RPC_SERVER_DOWN = "RPC_SERVER_DOWN"
"""Reason of UnavailableError: a server that is to hold a part of the model does not answer, so it is not loaded."""
REPLICA_DIED = "REPLICA_DIED"
"""Reason of UnavailableError: the cluster's replica that had the request is gone, with its process or its machine."""


class StartError(Exception):
    """The service cannot start because of its settings or environment. The text tells the operator what to fix."""


def start_error(error: OSError) -> StartError:
    """Returns what the operator is told of an error of the system during the start."""
    what = error.strerror or str(error)
    where = f": {error.filename}" if error.filename else ""
    hint = _HINTS.get(error.errno or 0, "")
    return StartError(f"{what}{where}{hint}")


def listen_error(variable: str, hostname: str, port: int, error: OSError) -> StartError:
    """Returns what the operator is told of a port, set by `variable`, that cannot be listened on."""
    if isinstance(error, socket.gaierror):
        return StartError(f"LLM_INFERENCE_HOSTNAME: {hostname} cannot be resolved ({error.strerror})")
    if error.errno == errno.EADDRNOTAVAIL:
        return StartError(f"LLM_INFERENCE_HOSTNAME: {hostname} is not an address of this machine")
    address = f"[{hostname}]:{port}" if ":" in hostname else f"{hostname}:{port}"
    return StartError(f"{variable}: {address} cannot be listened on ({error.strerror})")


_HINTS = {
    errno.EMFILE: "; raise the limit of open files (ulimit -n, LimitNOFILE)",
    errno.ENOSPC: "; free space in the temporary directory, or set TMPDIR to another one",
    errno.EROFS: "; set TMPDIR to a directory that can be written to",
}
"""What helps against an error of the system, by its number."""


class ServiceError(Exception):
    """Base class. The text is sent to the caller: it contains no path, class or address of the service."""

    reason: str = "INTERNAL"
    """ErrorInfo.reason: a stable UPPER_SNAKE_CASE name of the cause. Some classes take it as an argument."""

    @property
    def metadata(self) -> dict[str, str]:
        """ErrorInfo.metadata: machine-readable details of the cause."""
        return {}


class InvalidFieldError(ServiceError):
    """A field of a request has an invalid or unsupported value."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class CostlyFieldError(InvalidFieldError):
    """A field's value takes too much time or memory to find out whether it can be honoured."""


class ContextLengthError(ServiceError):
    """The prompt leaves no room for an answer in the model's context. All sizes are in tokens.

    `exact` is False if `prompt_tokens` is only a lower bound. `field` is the name of the field that has the prompt.
    """

    reason = "CONTEXT_LENGTH_EXCEEDED"

    def __init__(
        self,
        prompt_tokens: int,
        context_length: int,
        exact: bool = True,  # noqa: FBT001, FBT002 - pickled by position
        field: str = "prompt",
    ) -> None:
        super().__init__(prompt_tokens, context_length, exact, field)
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length
        self.exact = exact
        self.field = field

    @property
    def metadata(self) -> dict[str, str]:
        """The token counts, as decimal strings, and the name of the field."""
        counts = {"prompt_tokens": str(self.prompt_tokens), "context_length": str(self.context_length)}
        return {**counts, "field": self.field}

    def __str__(self) -> str:
        has = f"has {'' if self.exact else 'at least '}{self.prompt_tokens} tokens"
        # LiteLLM recognises the error by this text, LangChain by "prompt is too long".
        context = f"this model's maximum context length is {self.context_length} tokens"
        return f"the prompt is too long: it {has}, and {context}, the answer included"


class ResponseTooLargeError(ServiceError):
    """The response has more bytes than one message may have."""

    reason = "RESPONSE_TOO_LARGE"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"the response has {self.size} bytes, and one message at most {self.limit}; ask for less, or stream it"


class ModelNotFoundError(ServiceError):
    """A request names a model that is not in `LLM_ALLOWED_MODELS`."""

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str, *served: str) -> None:
        super().__init__(model, *served)
        self.model = model
        self.served = served
        """Ids of the models that are."""

    def __str__(self) -> str:
        shown = self.model if len(self.model) <= 200 else self.model[:200] + "…"
        return f"model {shown!r} is not served here; {served_models(self.served)}"


def served_models(ids: Sequence[str]) -> str:
    """Returns which models a caller can name, in words."""
    some = ids[:5]
    more = f" and {len(ids) - len(some)} others" if len(ids) > len(some) else ""
    listed = f"{', '.join(some)}{more}; " if ids else "none; "
    return f"served are {listed}see GET /v1/models and GET /api/llms (ListModels)"


class PageNotFoundError(ServiceError):
    """No page exists at the requested path."""

    reason = "PAGE_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"there is no page /{self.path[:200]}"


class UnknownResponseError(ServiceError):
    """No response with this id is stored for the caller."""

    reason = "RESPONSE_NOT_FOUND"

    def __init__(self, response_id: str) -> None:
        super().__init__(response_id)
        self.response_id = response_id

    def __str__(self) -> str:
        return (
            f"no response {self.response_id[:100]!r} is stored for this caller; it may have expired, or was not stored"
        )


class PreviousResponseError(InvalidFieldError):
    """A request goes on from a response that is not stored, or that goes on itself from one that is not."""

    reason = "PREVIOUS_RESPONSE_NOT_FOUND"

    def __init__(self, response_id: str) -> None:
        super().__init__("previous_response_id", f"{UnknownResponseError(response_id)}; send the conversation as input")


class ItemNotFoundError(ServiceError):
    """What a field names does not exist, or belongs to another caller."""

    reason = "NOT_FOUND"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    @property
    def metadata(self) -> dict[str, str]:
        """Which field it is."""
        return {"field": self.field}

    def __str__(self) -> str:
        return self.problem


class PreconditionError(ServiceError):
    """The request cannot be carried out as things are; a retry alone does not help."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class QuotaError(PreconditionError):
    """The store of batches has no room for the caller's file or batch."""

    def __init__(self, problem: str) -> None:
        super().__init__("BATCH_QUOTA", problem)
        self.args = (problem,)


class ModelFailedError(ServiceError):
    """A model cannot be loaded because of its files or its settings; retrying does not help."""

    reason = "MODEL_FAILED"


class UnsupportedError(ServiceError):
    """The model does not support the requested operation."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class HubError(ServiceError):
    """A model cannot be downloaded from the hub; retrying does not help."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class HubAccessError(HubError):
    """The hub denies this service access to a repository."""


class DiskFullError(HubError):
    """The disk has too little free space for a model's files."""


class PoisonRequestError(ServiceError):
    """The request was running in several crashes of its model's worker; it is refused."""

    reason = "POISON_REQUEST"


class OverloadedError(ServiceError):
    """The service has no capacity for the request now; it may be retried."""

    reason = "OVERLOADED"

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(problem, retry_after)
        self.problem = problem
        self.retry_after = retry_after
        """Seconds to wait before a retry."""

    def __str__(self) -> str:
        return self.problem


class CallerLimitError(OverloadedError):
    """The caller has reached its limit of requests in flight."""

    reason = "CALLER_LIMIT"


class UnavailableError(ServiceError):
    """The service or the model's worker cannot take the request, or has lost it; a retry may succeed."""

    def __init__(self, reason: str, problem: str, retry_after: float = 1.0) -> None:
        super().__init__(reason, problem, retry_after)
        self.reason = reason
        self.problem = problem
        self.retry_after = retry_after
        """Seconds to wait before a retry."""

    def __str__(self) -> str:
        return self.problem


class UnauthenticatedError(ServiceError):
    """The API key is missing or invalid."""

    reason = "INVALID_API_KEY"


class DeadlineError(ServiceError):
    """The request exceeded its time limit."""

    reason = "DEADLINE_EXCEEDED"


class WriteTimeoutError(DeadlineError):
    """The reader of a stream took nothing for `seconds` seconds."""

    reason = "WRITE_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"nothing of the answer was read for {self.seconds:g} s; read each message as it arrives"


class ComputationError(ServiceError):
    """The model's output is unusable, for example because its logits are NaN."""

    reason = "COMPUTATION_FAILED"
