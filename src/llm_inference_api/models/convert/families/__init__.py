"""The families of architectures that can be converted."""

from llm_inference_api.models.convert.checkpoint import Checkpoint
from llm_inference_api.models.convert.errors import UnsupportedArchitectureError
from llm_inference_api.models.convert.families.bert import Bert, DistilBert, Roberta
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.gemma import Gemma, Gemma2, Gemma3
from llm_inference_api.models.convert.families.llama import Llama, Mistral, Mixtral
from llm_inference_api.models.convert.families.phi import Phi2, Phi3
from llm_inference_api.models.convert.families.qwen import Qwen, Qwen2, Qwen3
from llm_inference_api.models.convert.families.stablelm import StableLM
from llm_inference_api.models.convert.sentence_modules import SentenceModules

FAMILIES: tuple[type[Family], ...] = (
    Llama,
    Mistral,
    Mixtral,
    Qwen,
    Qwen2,
    Qwen3,
    Gemma,
    Gemma2,
    Gemma3,
    Phi2,
    Phi3,
    StableLM,
    Bert,
    Roberta,
    DistilBert,
)

_BY_ARCHITECTURE = {architecture: family for family in FAMILIES for architecture in family.architectures}

SUPPORTED_ARCHITECTURES = tuple(sorted(_BY_ARCHITECTURE))
"""All values of config.json's `architectures` that can be converted."""


def family_of(checkpoint: Checkpoint) -> Family:
    """Returns the family of the architecture that config.json names, with its hyperparameters and modules.

    Raises:
        UnsupportedArchitectureError: No family has the architecture.
        ConversionError: A hyperparameter or a module is missing or unsupported.
    """
    named = checkpoint.config.items("architectures")
    architecture = named[0] if named and isinstance(named[0], str) else "(none named)"
    family = _BY_ARCHITECTURE.get(architecture)
    if family is None:
        raise UnsupportedArchitectureError(architecture, SUPPORTED_ARCHITECTURES)
    made = family(checkpoint.config)
    made.modules = SentenceModules.read(checkpoint.directory)
    return made
