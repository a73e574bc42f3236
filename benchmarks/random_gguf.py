"""Writes a GGUF file of random weights in the shape of TinyLlama-1.1B, whose every token has text.

Run as `python -m benchmarks.random_gguf FILE.gguf`. Speed and size are those of the real model, quantised to Q4_K_M;
what it says is noise. Each word of one to three small letters is one token, so that the length of a prompt is known,
and no answer ends by itself. What benchmarks.random_checkpoint writes is for conversions: most of its tokens have no
text.
"""

import argparse
import itertools
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType

from llm_inference_api.backends.llama.backend import quantise_model

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY = 2048, 5632, 22, 32, 4, 32000
CONTEXT = 8192
_LONGEST_WORD = 4
"""Letters; of such words there are as many as the vocabulary has room for."""
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SPACE = "▁"
"""What SentencePiece writes for a space."""
_UNKNOWN, _BOS, _EOS = 0, 1, 2


def vocabulary(size: int) -> list[tuple[str, TokenType]]:
    """Returns tokens as SentencePiece has them: control tokens, bytes, characters, then words in a fixed order."""
    special = [("<unk>", TokenType.UNKNOWN), ("<s>", TokenType.CONTROL), ("</s>", TokenType.CONTROL)]
    tokens = special + [(f"<0x{value:02X}>", TokenType.BYTE) for value in range(256)]
    return list(itertools.islice(itertools.chain(tokens, ((word, TokenType.NORMAL) for word in _words())), size))


def _words() -> Iterator[str]:
    yield _SPACE
    yield from string.ascii_letters + string.digits + " <>|{}[]:;,.'\"!?\n-_/()"
    for letters in range(1, _LONGEST_WORD + 1):
        for word in itertools.product(string.ascii_lowercase, repeat=letters):
            yield _SPACE + "".join(word)


def write(path: Path) -> None:
    """Writes the model; the file is there when it is whole.

    Raises:
        RuntimeError: llama.cpp could not quantise it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole, quantised = path.with_suffix(".f16.part"), path.with_suffix(".part")
    try:
        _write_whole(whole)
        if not quantise_model(whole, quantised, LlamaFileType.MOSTLY_Q4_K_M, lambda _: None):
            raise RuntimeError(f"llama.cpp could not quantise {whole}")
        quantised.replace(path)
    finally:
        whole.unlink(missing_ok=True)
        quantised.unlink(missing_ok=True)


def _write_whole(path: Path) -> None:
    """Writes the model in F16."""
    generator = np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    writer.add_name("random weights in the shape of TinyLlama-1.1B")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer)
    for name, tensor in _tensors(generator):
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: GGUFWriter) -> None:
    tokens = vocabulary(VOCABULARY)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _ in tokens])
    # Shorter words first: the tokenizer joins the pair with the highest score, and each word is made of a shorter one.
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types([int(kind) for _, kind in tokens])
    writer.add_unk_token_id(_UNKNOWN)
    writer.add_bos_token_id(_BOS)
    writer.add_eos_token_id(_EOS)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(TEMPLATE)


def _tensors(generator: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    head = _matrix(generator, VOCABULARY, WIDTH)
    # Tokens that end an answer or have no text of their own get a score of 0, which is never the best of 32,000.
    head[: _EOS + 1 + 256] = 0
    yield "token_embd.weight", _matrix(generator, VOCABULARY, WIDTH)
    yield "output.weight", head
    yield "output_norm.weight", np.ones(WIDTH, np.float32)
    kv = WIDTH // HEADS * KV_HEADS
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (kv, WIDTH),
        "attn_v": (kv, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            yield f"blk.{layer}.{name}.weight", _matrix(generator, *shape)
        for name in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32)


def _matrix(generator: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    return (generator.standard_normal((rows, columns), np.float32) / np.sqrt(columns)).astype(np.float16)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    write(parser.parse_args().file)
