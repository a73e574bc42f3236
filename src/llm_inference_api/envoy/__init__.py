"""Envoy as a sidecar or as a front proxy of replicas: renders its bootstrap, and runs it as a child process."""

from llm_inference_api.envoy.bootstrap import bootstrap, default_bootstrap
from llm_inference_api.envoy.process import EnvoyProcess
from llm_inference_api.envoy.sidecar import Sidecar

__all__ = ["EnvoyProcess", "Sidecar", "bootstrap", "default_bootstrap"]
