"""Compares the tokenization of real vocabularies, from the ggml-vocab-*.gguf files in llama.cpp's repository.

These hold tokens, scores and merges of published models. A tokenizer.json is made from each, as transformers makes one
from a sentencepiece model, converted, and its tokenization compared with that of `tokenizers`. Needs transformers.

Run as `PYTHONPATH=src:. python -m tools.conversion_fixtures.real_vocabularies <llama.cpp>/models`.
"""

import random
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers.convert_slow_tokenizer import generate_merges

from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.tokenizer import pre_tokenizer
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import TINY_LLAMA, TINY_LLAMA_SHAPES, write_checkpoint
from tools.conversion_fixtures.corpus import plain_lines


class ByteLevelOptions(NamedTuple):
    """What a vocabulary file does not say about a byte-level BPE."""

    steps: tuple[pre_tokenizers.PreTokenizer, ...] = ()
    """Pre-tokenizers before ByteLevel."""
    ignore_merges: bool = False
    nfc: bool = False


SENTENCEPIECE = ("llama-spm", "phi-3")
BYTE_LEVEL = {
    "gpt-2": ByteLevelOptions(),
    "gpt-neox": ByteLevelOptions(nfc=True),
    "llama-bpe": ByteLevelOptions((pre_tokenizers.Split(Regex(pre_tokenizer.LLAMA3), "isolated"),), ignore_merges=True),
    "qwen2": ByteLevelOptions((pre_tokenizers.Split(Regex(pre_tokenizer.QWEN2), "isolated"),), nfc=True),
    "starcoder": ByteLevelOptions((pre_tokenizers.Digits(individual_digits=True),)),
}
"""Names of vocabulary files, without "ggml-vocab-"."""


def lines() -> list[str]:
    """Returns the corpus, repeated patterns, and random white space."""
    source = random.Random(1)
    words = ("ha", "haha", "=-", "ab", "=", "-", "*", "#", "lol", "\n", "\t", " ", " \n", "na ", '."')
    repeated = [word * count for word in words for count in (2, 3, 4, 5, 7, 9, 12, 17, 23, 33, 40)]
    blanks = ["".join(source.choice([" ", "  ", "\t", "x", " a", "\n"]) for _ in range(30)) for _ in range(500)]
    return plain_lines() + repeated + blanks


def contents(path: Path) -> dict[str, Any]:
    """Returns tokens, token types, scores and merges of a GGUF file, those that it has."""
    fields = gguf.GGUFReader(path).fields
    names = ("tokens", "token_type", "scores", "merges")
    return {name: fields[f"tokenizer.ggml.{name}"].contents() for name in names if f"tokenizer.ggml.{name}" in fields}


def _pair(merge: str) -> tuple[str, str]:
    cut = merge.index(" ", 1)
    return merge[:cut], merge[cut + 1 :]


def sentencepiece(held: dict[str, Any]) -> Tokenizer:
    """Returns the tokenizer of a sentencepiece model, as transformers converts it."""
    kinds = dict(zip(held["tokens"], held["token_type"], strict=True))
    ids = {token: id_ for id_, token in enumerate(held["tokens"])}
    scores = {token: held["scores"][id_] for token, id_ in ids.items() if kinds[token] == gguf.TokenType.NORMAL}
    merges = generate_merges({token: ids[token] for token in scores}, scores)
    kept = {t: n for t, n in ids.items() if t in scores or kinds[t] == gguf.TokenType.BYTE or n < 3}
    tokenizer = Tokenizer(models.BPE(kept, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return _with_bos(tokenizer, "<s>", ["<unk>", "<s>", "</s>"])


def gemma(held: dict[str, Any]) -> Tokenizer:
    """Returns the tokenizer of a Gemma, as its publishers write it."""
    ids = {token: id_ for id_, token in enumerate(held["tokens"])}
    merges = [_pair(merge) for merge in held["merges"]]
    tokenizer = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    kinds = zip(held["tokens"], held["token_type"], strict=True)
    controls = [token for token, kind in kinds if kind == gguf.TokenType.CONTROL]
    return _with_bos(tokenizer, "<bos>", [*controls, "<unk>"])


def _with_bos(tokenizer: Tokenizer, bos: str, specials: list[str]) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in specials])
    template = [(bos, tokenizer.token_to_id(bos))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=template)
    return tokenizer


def byte_level(held: dict[str, Any], name: str) -> Tokenizer:
    """Returns the tokenizer of a byte-level BPE."""
    steps, ignore_merges, nfc = BYTE_LEVEL[name]
    kinds = enumerate(held["token_type"])
    ids = {held["tokens"][id_]: id_ for id_, kind in kinds if kind == gguf.TokenType.NORMAL}
    tokenizer = Tokenizer(models.BPE(ids, [_pair(m) for m in held["merges"]], ignore_merges=ignore_merges))
    own_pattern = not any(isinstance(step, pre_tokenizers.Split) for step in steps)
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own_pattern)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, last])
    tokenizer.normalizer = normalizers.NFC() if nfc else None
    return tokenizer


def differing(tokenizer: Tokenizer) -> list[str]:
    """Returns the lines whose tokens differ after conversion."""
    size = max(tokenizer.get_vocab().values()) + 1
    shapes = TINY_LLAMA_SHAPES | {"model.embed_tokens.weight": [size, 16], "lm_head.weight": [size, 16]}
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        checkpoint = write_checkpoint(work / "c", TINY_LLAMA | {"vocab_size": size}, shapes, "llama2")
        (checkpoint / "tokenizer.model").unlink()
        tokenizer.save(str(checkpoint / "tokenizer.json"))
        convert_checkpoint(checkpoint, work / "m.gguf", dtype=None, progress=lambda *_: None)
        with opened(work / "m.gguf", vocab_only=True) as llama:
            return [t for t in lines() if llama.tokens(llama.preparation.apply(t)) != tokenizer.encode(t).ids]


def main(directory: Path) -> None:
    """Prints the number of differing lines for each vocabulary file of the directory."""
    makers = dict.fromkeys(SENTENCEPIECE, sentencepiece) | {"gemma-4": gemma}
    for name in (*makers, *BYTE_LEVEL):
        held = contents(directory / f"ggml-vocab-{name}.gguf")
        tokenizer = makers[name](held) if name in makers else byte_level(held, name)
        print(f"{name}: {len(differing(tokenizer))} of {len(lines())} lines differ", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
