"""Conversion of a LoRA adapter that peft has written to a GGUF file for one model."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import gguf
import numpy as np

from llm_inference_api.models.convert.config import Config
from llm_inference_api.models.convert.errors import ConversionError
from llm_inference_api.models.convert.tensors.element_type import Float32Array, to_float32
from llm_inference_api.models.convert.tensors.gguf_file import Progress, atomic_output
from llm_inference_api.models.convert.tensors.safetensors_file import SafetensorsFile
from llm_inference_api.models.gguf_header import read_header
from llm_inference_api.models.header_numbers import Value

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_ROTATES_PAIRS = ("llama",)
"""Architectures whose queries and keys llama.cpp rotates by neighbouring components, so that rows change places."""
_ARCHITECTURES = (*_ROTATES_PAIRS, "qwen2", "qwen3")
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")
_FLOATS = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "BF16": gguf.GGMLQuantizationType.BF16,
}
_NEUTRAL: Mapping[str, object] = {
    "peft_type": "LORA",
    "bias": "none",
    "use_dora": False,
    "fan_in_fan_out": False,
    "lora_bias": False,
    "use_qalora": False,
    "use_bdlora": None,
    "modules_to_save": None,
    "layer_replication": None,
    "megatron_config": None,
    "trainable_token_indices": None,
    "target_parameters": None,
    "alora_invocation_tokens": None,
}
"""Options of peft that change what is computed, with the values that llama.cpp computes."""


def convert_adapter(checkpoint: Path, base: Path, output: Path, *, progress: Progress) -> None:
    """Writes an adapter as a GGUF file in F32; its scale is multiplied into the weights.

    Args:
        checkpoint: Directory with adapter_config.json and adapter_model.safetensors.
        base: GGUF file of the model that the adapter is for.
        output: Path of the GGUF file.
        progress: Called with the number of tensors written and the number of all.

    Raises:
        ConversionError: A file is malformed, or llama.cpp would not compute what peft does.
        OSError: The output cannot be written.
    """
    config = Config.read(checkpoint / CONFIG)
    for name, neutral in _NEUTRAL.items():
        if (value := config.values.get(name, neutral)) not in (neutral, None):
            raise config.error(name, str(neutral).lower() if neutral is not None else "absent", value)
    header = read_header(base)
    architecture = str(header.get("general.architecture"))
    if architecture not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise ConversionError(f"{CONFIG}: adapters are converted for models of {known} only, not of {architecture!r}")
    tensors = list(_tensors(checkpoint, config, header, architecture))
    with atomic_output(output) as temporary:
        writer = gguf.GGUFWriter(temporary, architecture)
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", 0.0)  # llama.cpp multiplies by no scale of the file's then.
        for name, values in tensors:
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    progress(len(tensors), len(tensors))


def _tensors(
    checkpoint: Path, config: Config, header: Mapping[str, Value], architecture: str
) -> Iterator[tuple[str, Float32Array]]:
    """Yields the tensors with their names in the GGUF file."""
    blocks = int(str(header.get(f"{architecture}.block_count", 0)))
    known = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}
    names = gguf.get_tensor_name_map(known[architecture], blocks)
    for tensor in SafetensorsFile(checkpoint / WEIGHTS).tensors.values():
        found = _TENSOR.fullmatch(tensor.name)
        name = names.get_name(found["module"]) if found else None
        if found is None or name is None or not name.startswith("blk.") or len(tensor.shape) != 2:
            raise ConversionError(f"{WEIGHTS}: {tensor.name} is no adapter of a linear layer of {architecture!r}")
        if tensor.dtype not in _FLOATS:
            raise ConversionError(f"{WEIGHTS}: {tensor.name} must be of {', '.join(_FLOATS)}, is of {tensor.dtype}")
        values = to_float32(tensor.view, _FLOATS[tensor.dtype])
        if found["part"] == "B":
            values = values * _scale(config, found["module"], tensor.shape[1])
            if architecture in _ROTATES_PAIRS:
                values = _reordered(values, name, header, architecture)
        yield f"{name}.weight.lora_{found['part'].lower()}", np.ascontiguousarray(values, np.float32)


def _scale(config: Config, module: str, rank: int) -> float:
    alpha = config.number("lora_alpha")
    patterns = config.values.get("alpha_pattern") or {}
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):  # As peft matches them (get_pattern_key).
            alpha = float(value)
            break
    return alpha / (math.sqrt(rank) if config.flag("use_rslora", default=False) else rank)


def _reordered(values: Float32Array, name: str, header: Mapping[str, Value], architecture: str) -> Float32Array:
    """Returns rows of queries or keys in llama.cpp's order, in which pairs that are rotated together are neighbours."""
    kind = name.rpartition(".")[2]
    if kind not in ("attn_q", "attn_k"):
        return values
    heads = header.get(f"{architecture}.attention.head_count")
    if kind == "attn_k":
        heads = header.get(f"{architecture}.attention.head_count_kv", heads)
    count = int(str(heads))
    halves = values.reshape(count, 2, values.shape[0] // count // 2, values.shape[1])
    return halves.swapaxes(1, 2).reshape(values.shape)
