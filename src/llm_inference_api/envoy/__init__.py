"""The Envoy sidecar: its bootstrap, rendered from the settings, and its process where the service starts it itself."""

from llm_inference_api.envoy.bootstrap import Sidecar, bootstrap, default_bootstrap
from llm_inference_api.envoy.process import EnvoyProcess

__all__ = ["EnvoyProcess", "Sidecar", "bootstrap", "default_bootstrap"]
