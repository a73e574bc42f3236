"""What can go wrong in ways that a caller should read about. `rpc/statuses.py` gives each class its gRPC status.

The classes take positional arguments only: they cross the pipe between server and worker, and exceptions are pickled as
their class and `args`.
"""


class StartError(Exception):
    """The service cannot start, for a reason that a person can mend."""


class ServiceError(Exception):
    """An error whose text is written for the caller: it names no path, class or address of the service."""

    reason: str = "INTERNAL"
    """The cause, for programs: an UPPER_SNAKE name that later versions keep. Some classes take it as an argument."""

    @property
    def metadata(self) -> dict[str, str]:
        """What else programs may want to know of the cause."""
        return {}


class InvalidFieldError(ServiceError):
    """A field of a request has a value that cannot be honoured."""

    reason = "INVALID_FIELD"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class ContextLengthError(ServiceError):
    """Prompt and answer do not fit the model's context together."""

    reason = "CONTEXT_LENGTH_EXCEEDED"

    def __init__(
        self,
        prompt_tokens: int,
        max_tokens: int,
        context_length: int,
        exact: bool = True,  # noqa: FBT001, FBT002 - pickled by position
    ) -> None:
        super().__init__(prompt_tokens, max_tokens, context_length, exact)
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.context_length = context_length
        self.exact = exact

    @property
    def metadata(self) -> dict[str, str]:
        """The numbers of tokens, in decimal digits."""
        return {"prompt_tokens": str(self.prompt_tokens), "context_length": str(self.context_length)}

    def __str__(self) -> str:
        has = f"has {'' if self.exact else 'at least '}{self.prompt_tokens} tokens"
        # LiteLLM knows the case by these words, LangChain by "prompt is too long".
        context = f"this model's maximum context length is {self.context_length} tokens"
        if self.prompt_tokens >= self.context_length:
            return f"the prompt is too long: it {has}, and {context}, the answer included"
        return f"the prompt {has} and max_tokens is {self.max_tokens}, but {context}; shorten or lower one of them"


class ModelNotFoundError(ServiceError):
    """A request names a model that is not on the allow-list."""

    reason = "MODEL_NOT_FOUND"

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.model = model

    def __str__(self) -> str:
        shown = self.model if len(self.model) <= 200 else self.model[:200] + "…"
        return f"model {shown!r} is not served here; ListModels (GET /api/llms) names those that are"


class PageNotFoundError(ServiceError):
    """There is no page at a path."""

    reason = "PAGE_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return f"there is no page /{self.path[:200]}"


class ModelFailedError(ServiceError):
    """A model cannot be loaded, for a reason that lies in its file or its settings."""

    reason = "MODEL_FAILED"


class UnsupportedError(ServiceError):
    """A model cannot do what a request asks for, whatever its fields."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class HubError(ServiceError):
    """A model cannot be had from the hub, and a new try alone changes nothing."""

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(reason, problem)
        self.reason = reason
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class HubAccessError(HubError):
    """The hub does not let this service read a repository."""


class DiskFullError(HubError):
    """There is no room for a model's files."""


class PoisonRequestError(ServiceError):
    """A request was being computed at several crashes of its model's process, and is not tried again."""

    reason = "POISON_REQUEST"


class OverloadedError(ServiceError):
    """There is no room for the request now."""

    reason = "OVERLOADED"

    def __init__(self, problem: str, retry_after: float) -> None:
        super().__init__(problem, retry_after)
        self.problem = problem
        self.retry_after = retry_after
        """Seconds after which a new try makes sense."""

    def __str__(self) -> str:
        return self.problem


class CallerLimitError(OverloadedError):
    """The caller has as many requests open as one may have."""

    reason = "CALLER_LIMIT"


class UnavailableError(ServiceError):
    """The service, or the model's process, cannot take the request, or has lost it; a new try may succeed."""

    def __init__(self, reason: str, problem: str, retry_after: float = 1.0) -> None:
        super().__init__(reason, problem, retry_after)
        self.reason = reason
        self.problem = problem
        self.retry_after = retry_after
        """Seconds after which a new try makes sense."""

    def __str__(self) -> str:
        return self.problem


class UnauthenticatedError(ServiceError):
    """A caller shows no key, or a wrong one."""

    reason = "INVALID_API_KEY"


class DeadlineError(ServiceError):
    """The request took longer than it may."""

    reason = "DEADLINE_EXCEEDED"


class ComputationError(ServiceError):
    """The model computed something that is no answer, such as scores that are not numbers."""

    reason = "COMPUTATION_FAILED"
