"""Serves language models on one's own machines over gRPC and, through Envoy, over REST."""

import os
from importlib.metadata import version

# gRPC's core would write lines of its own form, such as one for each handshake that fails; it looks when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = version("llm-inference-api")
