"""What the listeners serve: the typed API with OpenAI's and Anthropic's, and Ollama's, whose paths are the former's."""

from collections.abc import Callable
from typing import Any, NamedTuple

from llm_inference_api.envoy.local_replies import local_replies, ollama_body
from llm_inference_api.envoy.routes import ollama_routes, routes

Json = dict[str, Any]

_BELOW_V1 = ("Anthropic", "OpenAI", "OpenAIBatch", "OpenAIFile", "Responses")
"""Services whose paths are below `/v1`, which both listeners have."""
_NAMES = (*_BELOW_V1, "Decision", "Embedding", "Inference", "Model", "Ranking", "Score", "Token")


def _services(*names: str) -> tuple[str, ...]:
    return tuple(f"llm_inference.v1.{name}Service" for name in names)


class Api(NamedTuple):
    """What a listener serves."""

    listener: str
    """Name of the listener."""
    statistics: str
    """Prefix of its metrics."""
    services: tuple[str, ...]
    """gRPC services that the transcoder exposes as REST."""
    routes: Callable[[], list[Json]]
    replies: Callable[[], Json]
    """Returns the format of Envoy's own errors."""
    has_health: bool
    """Whether it answers health probes."""


REST = Api(
    "rest",
    "ingress",
    (*_services(*_NAMES), *(f"llm_inference.web.v1.{name}Service" for name in ("Document", "Operations", "Page"))),
    routes,
    local_replies,
    has_health=True,
)
OLLAMA = Api(
    "ollama",
    "ollama",
    _services(*_BELOW_V1, "Ollama"),
    ollama_routes,
    lambda: local_replies(ollama_body),
    has_health=False,
)
