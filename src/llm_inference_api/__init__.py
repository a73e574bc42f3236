"""Serves language models on one's own machines over gRPC and, through Envoy, over REST."""

import os

# gRPC's core would write lines of its own form, such as one for each handshake that fails; it looks when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def __getattr__(name: str) -> str:
    """Returns `__version__`. Processes that do not ask start without what reads it, which takes them 50 ms."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version  # noqa: PLC0415 - only where it is asked for

    return version("llm-inference-api")
