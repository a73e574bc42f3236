"""The families of architectures that can be converted."""

from llm_inference_api.models.convert.checkpoint import Checkpoint
from llm_inference_api.models.convert.errors import UnsupportedArchitectureError
from llm_inference_api.models.convert.families.bert import Bert, DistilBert, Roberta
from llm_inference_api.models.convert.families.cross_encoder import BertRanker, RobertaRanker
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
    BertRanker,
    RobertaRanker,
)

_BY_ARCHITECTURE = {architecture: family for family in FAMILIES for architecture in family.architectures}

_BY_TYPE = {kind: family for family in FAMILIES for kind in family.model_types}

SUPPORTED_ARCHITECTURES = tuple(sorted(_BY_ARCHITECTURE))
"""All values of config.json's `architectures` that can be converted."""


def family_of(checkpoint: Checkpoint) -> Family:
    """Returns the family of the architecture that config.json names, with its hyperparameters and modules.

    Where there are no `architectures`, `model_type` counts, as in transformers.

    Raises:
        UnsupportedArchitectureError: No family has the architecture.
        ConversionError: A hyperparameter or a module is missing or unsupported.
    """
    named, kind = checkpoint.config.items("architectures"), checkpoint.config.text("model_type", "")
    architecture = named[0] if named and isinstance(named[0], str) else f"(none; model_type {kind!r})"
    family = _BY_ARCHITECTURE.get(architecture) if named else _BY_TYPE.get(kind)
    if family is None:
        raise UnsupportedArchitectureError(architecture, SUPPORTED_ARCHITECTURES)
    made = family(checkpoint.config)
    made.modules = SentenceModules.read(checkpoint.directory)
    return made
