"""Makes tiny models with random weights: Llamas whose tokens are bytes, and BERTs that know a few words."""

from pathlib import Path

import numpy as np
from gguf import GGUFReader, GGUFWriter, PoolingType, TokenType

INFILL = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
CLEAR_CALLERS = (4, 6, 8, 9, 14, 15, 16, 18, 20, 21, 23, 25)
CLEAR_PROMPTS = (
    *("hello", "<|user|>hello<|end|><|assistant|>", "<|user|>hi<|end|><|assistant|>"),
    *(f"caller {number}" for number in CLEAR_CALLERS),
)
"""After them the best token of `write_tiny_model` is far ahead of the next one, 40 times: the greedy text is the same
in any batch and any state of the cache, although sums are made in another order there."""
_BYTE_TOKENS = 256
MERGED = ("Ġ", "t")
"""llama.cpp loads no byte-level BPE without a merge."""


def write_tiny_model(
    path: Path,
    *,
    layers: int = 2,
    width: int = 64,
    context_length: int = 2048,
    template: str | None = TEMPLATE,
    seed: int = 0,
    value: float | None = None,
    pooling: PoolingType | None = None,
    silent: bool = False,
    vocabulary_of: Path | None = None,
    special: tuple[str, ...] = SPECIAL,
    add_bos: bool = False,
    add_eos: bool = False,
    architecture: str = "llama",
    part_tensors: int = 0,
    experts: int = 0,
    answers: tuple[str, ...] = (),
    rank_template: str | None = None,
) -> Path:
    """Writes a model and returns its path; `value` stands in the place of every weight where it is given.

    The layers of a `silent` one add nothing. The vocabulary is of bytes and the `special` tokens, or that of another
    GGUF file. Of one of bytes the file may say that texts begin with BOS or end with EOS, both `<|end|>`. With
    `part_tensors` the model is split into files of at most so many tensors; the path is that of the first. Of `experts`
    each token uses two. One with `answers` has a head that chooses among them, and perhaps a template for rankers.
    """
    generator = np.random.default_rng(seed)
    hidden = 2 * width
    quiet = np.float32(0.0 if silent else 1.0)

    def tensor(*shape: int) -> np.ndarray:
        scale = 1.0 / np.sqrt(shape[-1])
        random = generator.normal(0.0, scale, shape).astype(np.float32)
        return random if value is None else np.full(shape, value, np.float32)

    writer = GGUFWriter(path, architecture, split_max_tensors=part_tensors)
    writer.add_name("tiny")
    writer.add_context_length(context_length)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(width // 4)
    writer.add_layer_norm_rms_eps(1e-5)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    vocabulary = (
        add_byte_vocabulary(writer, special, add_bos, add_eos)
        if vocabulary_of is None
        else _copy_vocabulary(writer, vocabulary_of)
    )
    writer.add_vocab_size(vocabulary)
    if template is not None:
        writer.add_chat_template(template)
    if answers:
        _add_head(writer, answers, rank_template, tensor(len(answers), width))
    writer.add_tensor("token_embd.weight", tensor(vocabulary, width))
    for layer in range(layers):
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(width, np.float32))
        writer.add_tensor(f"blk.{layer}.attn_q.weight", tensor(width, width))
        writer.add_tensor(f"blk.{layer}.attn_k.weight", tensor(width // 2, width))
        writer.add_tensor(f"blk.{layer}.attn_v.weight", tensor(width // 2, width))
        if architecture == "qwen3":
            _add_norm_of_heads(writer, layer, width // 4)
        writer.add_tensor(f"blk.{layer}.attn_output.weight", tensor(width, width) * quiet)
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(width, np.float32))
        if experts:
            writer.add_tensor(f"blk.{layer}.ffn_gate_inp.weight", tensor(experts, width))
        suffix, shape = ("_exps", (experts,)) if experts else ("", ())
        writer.add_tensor(f"blk.{layer}.ffn_gate{suffix}.weight", tensor(*shape, hidden, width))
        writer.add_tensor(f"blk.{layer}.ffn_up{suffix}.weight", tensor(*shape, hidden, width))
        writer.add_tensor(f"blk.{layer}.ffn_down{suffix}.weight", tensor(*shape, width, hidden) * quiet)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", 2.0 * tensor(vocabulary, width))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path if not part_tensors else min(path.parent.glob(f"{path.stem}-00001-of-*.gguf"))


def _add_head(writer: GGUFWriter, answers: tuple[str, ...], template: str | None, weights: np.ndarray) -> None:
    writer.add_pooling_type(PoolingType.RANK)
    writer.add_classifier_output_labels(answers)
    writer.add_tensor("cls.output.weight", weights)
    if template is not None:
        writer.add_string("tokenizer.chat_template.rerank", template)


def _add_norm_of_heads(writer: GGUFWriter, layer: int, size: int) -> None:
    for part in "qk":
        writer.add_tensor(f"blk.{layer}.attn_{part}_norm.weight", np.ones(size, np.float32))


def add_byte_vocabulary(
    writer: GGUFWriter,
    special: tuple[str, ...],
    add_bos: bool = False,  # noqa: FBT001, FBT002 - a file's values
    add_eos: bool = False,  # noqa: FBT001, FBT002
) -> int:
    """Returns the vocabulary's size."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*BYTE_TEXTS, "".join(MERGED), *special])
    writer.add_token_types([TokenType.NORMAL] * (_BYTE_TOKENS + 1) + [TokenType.CONTROL] * len(special))
    writer.add_token_merges([" ".join(MERGED)])
    writer.add_eos_token_id(_BYTE_TOKENS + 1)
    writer.add_bos_token_id(_BYTE_TOKENS + 1)
    writer.add_add_bos_token(add_bos)
    writer.add_add_eos_token(add_eos)
    return _BYTE_TOKENS + 1 + len(special)


def _copy_vocabulary(writer: GGUFWriter, source: Path) -> int:
    """Returns the vocabulary's size."""
    fields = {name: field for name, field in GGUFReader(source).fields.items() if name.startswith("tokenizer.ggml.")}
    for name, field in fields.items():
        writer.add_key_value(name, field.contents(), field.types[0], field.types[1] if len(field.types) > 1 else None)
    return len(fields["tokenizer.ggml.tokens"].data)


WORDS = ("a", "cat", "dog", "sat", "ran", "the", "on", "mat")


def write_tiny_encoder(
    path: Path,
    *,
    pooling: PoolingType | None = PoolingType.MEAN,
    layers: int = 2,
    width: int = 32,
    context_length: int = 64,
    head: bool | None = None,
    labels: tuple[str, ...] = (),
) -> Path:
    """Writes a BERT, which computes embeddings only, and returns its path.

    One with pooling of the type RANK, or with a head, ranks instead; the head has an output for each label, else one.
    """
    generator = np.random.default_rng(3)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"▁{word}" for word in WORDS)]

    writer = GGUFWriter(path, "bert")
    writer.add_name("tiny encoder")
    writer.add_context_length(context_length)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(2 * width)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    if pooling is not None:
        writer.add_pooling_type(pooling)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 4 + [TokenType.NORMAL] * len(WORDS))
    writer.add_token_type_count(2)
    if labels:
        writer.add_classifier_output_labels(labels)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_sep_token_id(3)

    def tensor(name: str, *shape: int, bias: bool = False) -> None:
        writer.add_tensor(f"{name}.weight", generator.normal(0.0, shape[-1] ** -0.5, shape).astype(np.float32))
        if bias:
            writer.add_tensor(f"{name}.bias", generator.normal(0.0, 0.1, shape[0]).astype(np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(width, np.float32))

    tensor("token_embd", len(tokens), width)
    tensor("position_embd", context_length, width)
    tensor("token_types", 2, width)
    norm("token_embd_norm")
    for layer in range(layers):
        for part in ("q", "k", "v", "output"):
            tensor(f"blk.{layer}.attn_{part}", width, width, bias=True)
        norm(f"blk.{layer}.attn_output_norm")
        tensor(f"blk.{layer}.ffn_up", 2 * width, width, bias=True)
        tensor(f"blk.{layer}.ffn_down", width, 2 * width, bias=True)
        norm(f"blk.{layer}.layer_output_norm")
    if head if head is not None else pooling is PoolingType.RANK:
        tensor("cls.output", len(labels) or 1, width, bias=True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _byte_texts() -> list[str]:
    """Returns how byte-level BPE spells each byte (GPT-2's encoder.py, bytes_to_unicode)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = (byte for byte in range(_BYTE_TOKENS) if byte not in printable)
    spelled = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    return [spelled[byte] for byte in range(_BYTE_TOKENS)]


BYTE_TEXTS = _byte_texts()
