"""Trains the tokenizers and records their ids for the corpus; run by generate.py."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sentencepiece
from tokenizers import Tokenizer

from tools.conversion_fixtures import tokenizer_kinds
from tools.conversion_fixtures.corpus import plain_lines, special_lines


def packed(sequences: list[list[int]]) -> dict[str, np.ndarray]:
    lengths = np.array([len(s) for s in sequences], np.uint16)
    return {"lengths": lengths, "ids": np.array([i for s in sequences for i in s], np.uint16)}


def generate(root: Path) -> None:
    lines = plain_lines()
    for name, train in tokenizer_kinds.KINDS.items():
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        train(directory)
        specials, encode, encode_as_text = encoders(directory)
        mixed = special_lines(specials) if specials else []
        arrays = {
            **{f"plain_{k}": v for k, v in packed([encode(line) for line in lines]).items()},
            **{f"special_{k}": v for k, v in packed([encode(line) for line in mixed]).items()},
            **{f"text_{k}": v for k, v in packed([encode_as_text(line) for line in mixed]).items()},
        }
        np.savez_compressed(directory / "reference.npz", **arrays)
        (directory / "special_lines.json").write_text(json.dumps(mixed, ensure_ascii=True, indent=0) + "\n")
        print(name, "tokens per line", len(arrays["plain_ids"]) / len(lines))


Encode = Callable[[str], list[int]]


def encoders(directory: Path) -> tuple[list[str], Encode, Encode]:
    if (directory / "tokenizer.json").is_file():
        return _fast(directory / "tokenizer.json")
    if (directory / "qwen.tiktoken").is_file():
        encoding = tokenizer_kinds.qwen1_encoding(directory / "qwen.tiktoken")

        def encode(line: str) -> list[int]:
            return encoding.encode(unicodedata.normalize("NFC", line), allowed_special="all")

        def as_text(line: str) -> list[int]:
            return encoding.encode(unicodedata.normalize("NFC", line), allowed_special=set(), disallowed_special=())

        return ["<|im_start|>", "<|im_end|>", "<|endoftext|>"], encode, as_text
    model = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    return [], lambda line: [model.bos_id(), *model.encode(line)], lambda line: []


def _fast(path: Path) -> tuple[list[str], Encode, Encode]:
    tokenizer, literal = Tokenizer.from_file(str(path)), Tokenizer.from_str(_controls_marked(path))
    literal.encode_special_tokens = True
    # Gemma's "▁▁" stands for spaces; llama.cpp looks for those, `tokenizers` also for the mark itself.
    added = [token.content.replace("▁", " ") for token in tokenizer.get_added_tokens_decoder().values()]
    return (
        added,
        lambda line: tokenizer.encode(line).ids,
        lambda line: literal.encode(line, add_special_tokens=False).ids,
    )


def _controls_marked(path: Path) -> str:
    """With the tokens marked that are control tokens in llama.cpp anyway: they must stay text too."""
    definition = json.loads(path.read_text())
    for token in definition["added_tokens"]:
        token["special"] |= token["content"] in ("</s>", "<mask>", "<|fim_prefix|>")
    return json.dumps(definition)
