"""In-situ quantisation: a GGUF file of floats is written again in a quantised type."""

import re
from pathlib import Path

from gguf import LlamaFileType

from llm_inference_api.backends.llama.backend import quantise_model
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.gguf_file import Progress, atomic_output

QUANTISATION_TYPES = {
    name: int(LlamaFileType[f"MOSTLY_{name}"])
    for name in (
        *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_1", "Q4_K_S", "Q4_K_M"),
        *("Q5_0", "Q5_1", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0"),
        *("IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL"),
    )
}
"""llama.cpp's numbers (`llama_ftype`) of the types that need no importance matrix.

IQ1, IQ2, IQ3_XXS and Q2_K_S need one; TQ is for ternary weights.
"""

_POSITION = re.compile(r"\[ *(\d+)/ *(\d+)\]")
"""Start of the line that llama.cpp logs before it quantises a tensor: `[   3/ 201]`."""


def quantisation_type(name: str) -> str:
    """Returns the type's name in llama.cpp's case. Raises ConversionError for a type that is not offered."""
    if name.upper() not in QUANTISATION_TYPES:
        raise ConversionError(f"quantisation type {name!r} must be one of {', '.join(QUANTISATION_TYPES)}")
    return name.upper()


def quantise_file(source: Path, output: Path, type_name: str, progress: Progress) -> None:
    """Writes a quantised copy of a GGUF file, which gets its name only once it is complete and on disk.

    Args:
        source: GGUF file of floats.
        output: Path of the quantised file.
        type_name: One of QUANTISATION_TYPES, of any case.
        progress: Called with the number of tensors written and the number of all.

    Raises:
        ConversionError: The type is not offered, or llama.cpp rejects the source; the message has its reason.
        OSError: The output cannot be written.
    """
    file_type = QUANTISATION_TYPES[quantisation_type(type_name)]
    log = _QuantiserLog(progress)
    with atomic_output(output) as temporary:
        if not quantise_model(source, temporary, file_type, log.add):
            raise ConversionError(f"{source.name}: llama.cpp cannot quantise it: {log.reason}")
    log.finish()


class _QuantiserLog:
    """llama.cpp's log during quantisation, read for progress and for the reason of a failure."""

    def __init__(self, progress: Progress) -> None:
        self.reason = "no reason given"
        self._progress = progress
        self._total = 0

    def add(self, text: str) -> None:
        position = _POSITION.match(text)
        if position:
            # llama.cpp logs a tensor before it quantises it.
            self._total = int(position[2])
            self._progress(int(position[1]) - 1, self._total)
        elif "failed to" in text:
            self.reason = " ".join(text.split())

    def finish(self) -> None:
        self._progress(self._total, self._total)
