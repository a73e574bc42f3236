"""Envoy, beside the service or in front of several: its bootstrap, and its process where the service starts it."""

from llm_inference_api.envoy.bootstrap import Sidecar, bootstrap, default_bootstrap
from llm_inference_api.envoy.process import EnvoyProcess

__all__ = ["EnvoyProcess", "Sidecar", "bootstrap", "default_bootstrap"]
