"""Export of the trained model to GGUF, with reference logits that a test compares it with."""

import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Quant
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .model import Llama
from .tokenizer import ASSISTANT, END, SPECIAL, TEMPLATE, USER, end_id

DESCRIPTION = (
    "The bundled demo of llm-inference-api: a very small chat model trained from scratch on conversations that a "
    "program wrote. It shows that the service works; it knows little else."
)
TEXT = f"{USER}What is 2+2?{END}{ASSISTANT}The answer is 4.{END}{USER}Why is that correct?{END}{ASSISTANT}Because"
Array = NDArray[np.float32]


def tensors(model: Llama) -> dict[str, Array]:
    """Returns the weights in float32 under llama.cpp's names."""
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    named = {"token_embd.weight": weights["embedding.weight"], "output_norm.weight": weights["norm.weight"]}
    for i in range(model.shape.layers):
        ours, theirs = f"blocks.{i}.", f"blk.{i}."
        parts = {
            **dict(
                zip(("attn_q", "attn_k", "attn_v"), np.split(weights[ours + "attention.qkv.weight"], 3), strict=True)
            ),
            **dict(zip(("ffn_gate", "ffn_up"), np.split(weights[ours + "feed.gate_up.weight"], 2), strict=True)),
            "attn_output": weights[ours + "attention.out.weight"],
            "ffn_down": weights[ours + "feed.down.weight"],
            "attn_norm": weights[ours + "attention_norm.weight"],
            "ffn_norm": weights[ours + "feed_norm.weight"],
        }
        named |= {f"{theirs}{name}.weight": array for name, array in parts.items()}
        biases = zip(("attn_q", "attn_k", "attn_v"), np.split(weights[ours + "attention.qkv.bias"], 3), strict=True)
        named |= {f"{theirs}{name}.bias": array for name, array in biases}
    return named


def _describe(writer: gguf.GGUFWriter, model: Llama) -> None:
    shape = model.shape
    writer.add_name("llm-inference-api demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_author("the authors of llm-inference-api")
    writer.add_languages(["en"])
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    model = json.loads(tokenizer.to_str())["model"]
    words = sorted(model["vocab"], key=model["vocab"].__getitem__)
    end = end_id(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if word in SPECIAL else gguf.TokenType.NORMAL for word in words])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)


def write(model: Llama, tokenizer: Tokenizer, path: Path, quant: Quant = Quant.Q8_0) -> None:
    """Writes the GGUF file: matrices in `quant`, norms in F32."""
    writer = gguf.GGUFWriter(path, "llama")
    _describe(writer, model)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quant is Quant.Q8_0 else gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_tokenizer(writer, tokenizer)
    for name, array in tensors(model).items():
        kind = quant if array.ndim == 2 else Quant.F32
        writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_reference(model: Llama, tokenizer: Tokenizer, path: Path) -> None:
    """Writes a fixed text, its `tokens` (int32) and the torch model's `logits` (positions, vocabulary; float16)."""
    tokens = tokenizer.encode(TEXT, add_special_tokens=False).ids
    with torch.no_grad():
        logits = model(torch.tensor([tokens]))[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, tokens=np.array(tokens, dtype=np.int32), logits=logits.numpy().astype(np.float16), text=np.array(TEXT)
    )
