"""Serves language models on one's own machines over gRPC and, through Envoy, over REST."""

from importlib.metadata import version

__version__ = version("llm-inference-api")
