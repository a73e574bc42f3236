"""Checkpoints of other formats become GGUF files, once."""

from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.element_type import Dtype
from llm_inference_api.models.convert.errors import ConversionError, UnsupportedArchitectureError
from llm_inference_api.models.convert.families import SUPPORTED_ARCHITECTURES
from llm_inference_api.models.convert.quantise import QUANTISATION_TYPES, quantise_file

__all__ = [
    "QUANTISATION_TYPES",
    "SUPPORTED_ARCHITECTURES",
    "ConversionError",
    "Dtype",
    "UnsupportedArchitectureError",
    "convert_checkpoint",
    "quantise_file",
]
