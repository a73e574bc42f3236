"""Trains the tokenizers and records their ids of the corpus."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sentencepiece
from tokenizers import Tokenizer

from tools.conversion_fixtures import tokenizer_kinds
from tools.conversion_fixtures.corpus import plain_lines, special_lines

Encode = Callable[[str], list[int]]


class Encoders(NamedTuple):
    """A tokenizer as the program that defines it runs it."""

    added: list[str]
    """Added tokens."""
    encode: Encode
    """For a prompt: added tokens are parsed, and special tokens put around the text."""
    encode_as_text: Encode
    """For content: control tokens stay text, and nothing is put around it."""


def packed(sequences: list[list[int]]) -> dict[str, np.ndarray]:
    """Returns sequences of ids one after the other and their lengths, both as uint16."""
    lengths = np.array([len(s) for s in sequences], np.uint16)
    return {"lengths": lengths, "ids": np.array([i for s in sequences for i in s], np.uint16)}


def generate(root: Path) -> None:
    """Writes a directory for each tokenizer: its files, special_lines.json and reference.npz.

    reference.npz holds the ids of the corpus (`plain`), and of lines with added tokens as prompts (`special`) and as
    content (`text`), each as `packed` returns them.
    """
    lines = plain_lines()
    for name, train in tokenizer_kinds.KINDS.items():
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        train(directory)
        tokenizer = encoders(directory)
        mixed = special_lines(tokenizer.added) if tokenizer.added else []
        arrays = {
            **{f"plain_{k}": v for k, v in packed([tokenizer.encode(line) for line in lines]).items()},
            **{f"special_{k}": v for k, v in packed([tokenizer.encode(line) for line in mixed]).items()},
            **{f"text_{k}": v for k, v in packed([tokenizer.encode_as_text(line) for line in mixed]).items()},
        }
        np.savez_compressed(directory / "reference.npz", **arrays)
        (directory / "special_lines.json").write_text(json.dumps(mixed, ensure_ascii=True, indent=0) + "\n")
        print(name, "tokens per line", len(arrays["plain_ids"]) / len(lines))


def encoders(directory: Path) -> Encoders:
    """Returns the tokenizer of a directory, run by tokenizers, tiktoken or sentencepiece."""
    if (directory / "tokenizer.json").is_file():
        return _fast(directory / "tokenizer.json")
    if (directory / "qwen.tiktoken").is_file():
        return _tiktoken(directory / "qwen.tiktoken")
    model = sentencepiece.SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    return Encoders([], lambda line: [model.bos_id(), *model.encode(line)], lambda _line: [])


def _tiktoken(path: Path) -> Encoders:
    encoding = tokenizer_kinds.qwen1_encoding(path)

    def encode(line: str) -> list[int]:
        return encoding.encode(unicodedata.normalize("NFC", line), allowed_special="all")

    def as_text(line: str) -> list[int]:
        return encoding.encode(unicodedata.normalize("NFC", line), allowed_special=set(), disallowed_special=())

    return Encoders(["<|im_start|>", "<|im_end|>", "<|endoftext|>"], encode, as_text)


def _fast(path: Path) -> Encoders:
    tokenizer, literal = Tokenizer.from_file(str(path)), Tokenizer.from_str(_controls_marked(path))
    literal.encode_special_tokens = True
    # Gemma's "▁▁" stands for spaces; llama.cpp matches only those, `tokenizers` the marks too.
    added = [token.content.replace("▁", " ") for token in tokenizer.get_added_tokens_decoder().values()]
    return Encoders(
        added,
        lambda line: tokenizer.encode(line).ids,
        lambda line: literal.encode(line, add_special_tokens=False).ids,
    )


def _controls_marked(path: Path) -> str:
    """Returns the definition with tokens marked as special that llama.cpp takes for control tokens anyway."""
    definition = json.loads(path.read_text())
    for token in definition["added_tokens"]:
        token["special"] |= token["content"] in ("</s>", "<mask>", "<|fim_prefix|>")
    return json.dumps(definition)
