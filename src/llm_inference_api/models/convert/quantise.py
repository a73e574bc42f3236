"""In-situ quantisation: a GGUF file of floats becomes one of a smaller type, once."""

import re
from pathlib import Path

from gguf import LlamaFileType

from llm_inference_api.backends.llama.backend import quantise_model
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.gguf_file import Progress, atomic_output

# Those that need no importance matrix; IQ1, IQ2, IQ3_XXS and Q2_K_S do, and TQ is for ternary weights only.
QUANTISATION_TYPES = {
    name: int(LlamaFileType[f"MOSTLY_{name}"])
    for name in (
        *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M"),
        *("Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"),
        *("IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL"),
    )
}

_POSITION = re.compile(r"\[ *(\d+)/ *(\d+)\]")


def quantisation_type(name: str) -> str:
    """The type's name as llama.cpp writes it, of any case."""
    if name.upper() not in QUANTISATION_TYPES:
        raise ConversionError(f"quantisation type {name!r} must be one of {', '.join(QUANTISATION_TYPES)}")
    return name.upper()


def quantise_file(source: Path, output: Path, type_name: str, progress: Progress) -> None:
    """Write `source`, quantised, as `output`, which appears only when it is whole."""
    file_type = QUANTISATION_TYPES[quantisation_type(type_name)]
    hearer = _Hearer(progress)
    with atomic_output(output) as temporary:
        if not quantise_model(source, temporary, file_type, hearer.hear):
            raise ConversionError(f"{source.name}: llama.cpp cannot quantise it: {hearer.reason}")
    hearer.finish()


class _Hearer:
    """What llama.cpp says while it quantises, as progress and, if it fails, the reason."""

    def __init__(self, progress: Progress) -> None:
        self.reason = "no reason given"
        self._progress = progress
        self._total = 0

    def hear(self, text: str) -> None:
        position = _POSITION.match(text)
        if position:
            # A tensor is named before it is worked on.
            self._total = int(position[2])
            self._progress(int(position[1]) - 1, self._total)
        elif "failed to" in text:
            self.reason = " ".join(text.split())

    def finish(self) -> None:
        self._progress(self._total, self._total)
