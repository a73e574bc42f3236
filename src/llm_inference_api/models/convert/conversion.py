"""Conversion of one checkpoint to one GGUF file."""

import json
from pathlib import Path

from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, LlamaFileType

from llm_inference_api.engine.pooling import MATRYOSHKA
from llm_inference_api.models.convert.checkpoint import Checkpoint
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.families import family_of
from llm_inference_api.models.convert.families.family import Family
from llm_inference_api.models.convert.families.rope import Metadata
from llm_inference_api.models.convert.quantised.sources import sources_of
from llm_inference_api.models.convert.tensors.element_type import Dtype
from llm_inference_api.models.convert.tensors.gguf_file import Progress, atomic_output, write_gguf
from llm_inference_api.models.convert.tensors.plan import PlannedTensor, constant, plan_tensors
from llm_inference_api.models.convert.tokenizer.tokenizer_files import TokenizerFiles
from llm_inference_api.models.convert.tokenizer.vocabulary import GgufVocabulary

_FILE_TYPES = {
    GGMLQuantizationType.F32: LlamaFileType.ALL_F32,
    GGMLQuantizationType.F16: LlamaFileType.MOSTLY_F16,
    GGMLQuantizationType.BF16: LlamaFileType.MOSTLY_BF16,
    GGMLQuantizationType.Q4_0: LlamaFileType.MOSTLY_Q4_0,
    GGMLQuantizationType.Q4_1: LlamaFileType.MOSTLY_Q4_1,
    GGMLQuantizationType.Q8_0: LlamaFileType.MOSTLY_Q8_0,
}


def convert_checkpoint(checkpoint: Path, output: Path, *, dtype: Dtype | None, progress: Progress) -> None:
    """Writes a checkpoint as a GGUF file, which gets its name only once it is complete and on disk.

    Memory use is about that of the largest tensor, beside the memory map of the checkpoint.

    Args:
        checkpoint: Directory in the layout that transformers writes.
        output: Path of the GGUF file. Its directory is created where it is missing.
        dtype: Type of matrices that the checkpoint stores as floats; None keeps the checkpoint's type.
        progress: Called with the number of tensors written and the number of all.

    Raises:
        ConversionError: A file is malformed, or llama.cpp would not compute what the checkpoint's own code does.
        OSError: The output cannot be written.
    """
    source = Checkpoint(checkpoint)
    family = family_of(source)
    files = TokenizerFiles(checkpoint, family.config)
    vocabulary = _vocabulary(files, family)
    encoding = family.rope_encoding()
    sources = sources_of(source)
    family.settle_output(sources)
    tensors = [
        *plan_tensors(family, sources, dtype.element_type if dtype else None),
        *(constant(name, values) for name, values in (family.added_tensors() | encoding.tensors).items()),
    ]
    architecture = {f"{family.name}.{key}": value for key, value in (family.metadata() | encoding.metadata).items()}
    tokenizer = vocabulary.metadata(family.vocab) | family.tokenizer_metadata() | files.chat_template()
    metadata = _general(checkpoint, tensors) | architecture | tokenizer | _matryoshka(family)
    with atomic_output(output) as temporary:
        write_gguf(temporary, family.name, metadata, tensors, progress)


def _vocabulary(files: TokenizerFiles, family: Family) -> GgufVocabulary:
    lowercase = family.modules.lowercases
    if family.is_encoder:
        return files.encoder_vocabulary(lowercase=lowercase)
    if lowercase:
        raise ConversionError(f"sentence_bert_config.json: 'do_lower_case' must be false for {family.name!r}")
    return files.vocabulary()


def _matryoshka(family: Family) -> Metadata:
    dimensions = family.config.items("matryoshka_dimensions")
    if any(type(number) is not int or not 0 < number <= family.hidden for number in dimensions):
        raise family.config.error("matryoshka_dimensions", f"integers from 1 to {family.hidden}", dimensions)
    return {MATRYOSHKA: json.dumps(dimensions)} if dimensions else {}


def _general(checkpoint: Path, tensors: list[PlannedTensor]) -> Metadata:
    return {
        "general.name": _model_name(checkpoint),
        "general.file_type": int(_FILE_TYPES[_prevailing_kind(tensors)]),
        "general.quantization_version": GGML_QUANT_VERSION,
    }


def _prevailing_kind(tensors: list[PlannedTensor]) -> GGMLQuantizationType:
    """Returns the type that holds most of the bytes."""
    sizes: dict[GGMLQuantizationType, int] = {}
    for tensor in tensors:
        sizes[tensor.kind] = sizes.get(tensor.kind, 0) + tensor.byte_count
    return max(sizes, key=sizes.__getitem__)


def _model_name(checkpoint: Path) -> str:
    """Returns the directory's name without "phi-3".

    llama.cpp strips white space after added tokens of models with that name (llama-vocab.cpp); our tokenizer metadata
    does this for the tokens that need it, and the two must not add up.
    """
    return checkpoint.name.lower().replace("phi-3", "phi").replace("phi3", "phi")
