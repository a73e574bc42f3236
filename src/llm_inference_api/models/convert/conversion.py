"""A checkpoint to one GGUF file."""

from pathlib import Path

from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, LlamaFileType

from llm_inference_api.models.convert.checkpoint import Checkpoint
from llm_inference_api.models.convert.families import family_of
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.quantised.sources import sources_of
from llm_inference_api.models.convert.tensors.element_type import Dtype
from llm_inference_api.models.convert.tensors.gguf_file import Progress, atomic_output, write_gguf
from llm_inference_api.models.convert.tensors.plan import PlannedTensor, constant, plan_tensors
from llm_inference_api.models.convert.tokenizer.tokenizer import TokenizerFiles

_FILE_TYPES = {
    GGMLQuantizationType.F32: LlamaFileType.ALL_F32,
    GGMLQuantizationType.F16: LlamaFileType.MOSTLY_F16,
    GGMLQuantizationType.BF16: LlamaFileType.MOSTLY_BF16,
    GGMLQuantizationType.Q4_0: LlamaFileType.MOSTLY_Q4_0,
    GGMLQuantizationType.Q4_1: LlamaFileType.MOSTLY_Q4_1,
    GGMLQuantizationType.Q8_0: LlamaFileType.MOSTLY_Q8_0,
}


def convert_checkpoint(checkpoint: Path, output: Path, *, dtype: Dtype | None, progress: Progress) -> None:
    """Write `checkpoint` as the GGUF file `output`, which appears only when it is whole.

    `dtype` changes the type of dense weights, None keeps the checkpoint's; `progress` hears of tensors, done
    and all.
    Raises ConversionError for what llama.cpp would compute otherwise than the checkpoint's own code.
    """
    source = Checkpoint(checkpoint)
    family = family_of(source.config)
    files = TokenizerFiles(checkpoint, family.config)
    vocabulary = files.vocabulary()
    encoding = family.rope_encoding()
    tensors = [
        *plan_tensors(family, sources_of(source), dtype.element_type if dtype else None),
        *(constant(name, values) for name, values in (family.added_tensors() | encoding.tensors).items()),
    ]
    architecture = {f"{family.name}.{key}": value for key, value in (family.metadata() | encoding.metadata).items()}
    metadata = _general(checkpoint, tensors) | architecture | vocabulary.metadata(family.vocab)
    with atomic_output(output) as temporary:
        write_gguf(temporary, family.name, metadata | files.chat_template(), tensors, progress)


def _general(checkpoint: Path, tensors: list[PlannedTensor]) -> Metadata:
    return {
        "general.name": _model_name(checkpoint),
        "general.file_type": int(_FILE_TYPES[_prevailing_kind(tensors)]),
        "general.quantization_version": GGML_QUANT_VERSION,
    }


def _prevailing_kind(tensors: list[PlannedTensor]) -> GGMLQuantizationType:
    sizes: dict[GGMLQuantizationType, int] = {}
    for tensor in tensors:
        sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.byte_count
    return max(sizes, key=sizes.__getitem__)


def _model_name(checkpoint: Path) -> str:
    """Without "phi-3", for which llama.cpp strips white space after added tokens; our metadata does that."""
    return checkpoint.name.lower().replace("phi-3", "phi").replace("phi3", "phi")
