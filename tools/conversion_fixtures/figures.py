"""Prints the tables of docs/conversion.md, measured on the fixtures; needs neither torch nor transformers.

Run as `PYTHONPATH=src:. python -m tools.conversion_fixtures.figures`.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from llm_inference_api.models.convert.conversion import convert_checkpoint
from llm_inference_api.models.convert.quantise import QUANTISATION_TYPES, quantise_file
from llm_inference_api.models.convert.tensors.element_type import Dtype
from tests.models.convert import test_embeddings as encoders
from tests.models.convert import test_packed_checkpoints as packed
from tests.models.convert import test_quantise as wide
from tests.models.convert import test_tokens as tokens
from tests.models.convert.llama_file import opened
from tests.models.convert.seeded_checkpoint import (
    FIXTURES,
    TINY_LLAMA,
    TINY_LLAMA_SHAPES,
    write_checkpoint,
    write_encoder,
)
from tests.models.convert.test_logits import CASES, Reference, cosines
from tools.conversion_fixtures.corpus import plain_lines


def _convert(checkpoint: Path, dtype: Dtype | None = None) -> Path:
    output = checkpoint.with_name(f"{checkpoint.name}-{dtype}.gguf")
    convert_checkpoint(checkpoint, output, dtype=dtype, progress=lambda *_: None)
    return output


def families(work: Path) -> None:
    """Prints the least cosine of logits and the share of equal best tokens, by family and dtype."""
    print("| family | features | F32 | F16 | BF16 |\n|---|---|---|---|---|")
    for name in CASES:
        reference = Reference.read(name)
        case = reference.case
        checkpoint = write_checkpoint(work / name, case["config"], case["shapes"], case["tokenizer"])
        cells = []
        for dtype in Dtype:
            with opened(_convert(checkpoint, dtype)) as llama:
                logits = llama.logits(reference.tokens, context=case["context"])
            same = np.mean(logits.argmax(1) == reference.best)
            cells.append(f"{cosines(logits, reference.logits).min():.6f} / {same:.1%}")
        print(f"| {case['family']} | {case['features']} | {' | '.join(cells)} |")


def embeddings(work: Path) -> None:
    """Prints the least cosine of vectors, and the number of lines with the same token ids, by encoder."""
    print("\n| family | features | F32 | F16 | BF16 | same ids |\n|---|---|---|---|---|---|")
    for name in encoders.CASES:
        reference = encoders.Reference.read(name)
        case = json.loads((FIXTURES / "embeddings" / name / "case.json").read_text())
        checkpoint = write_encoder(work / f"e-{name}", name)
        cells, same = [], 0
        for dtype in Dtype:
            embedder = encoders.embedder_of(_convert(checkpoint, dtype))
            found = encoders.vectors(embedder, reference.texts)
            cells.append(f"{cosines(found, reference.vectors).min():.6f}")
            same = sum(
                list(embedder.tokenize(line)) == ids for line, ids in zip(encoders.LINES, reference.ids, strict=True)
            )
        print(f"| {case['family']} | {case['features']} | {' | '.join(cells)} | {same} of {len(reference.ids)} |")


def tokenizers(work: Path) -> None:
    """Prints the number of lines with the same token ids, by tokenizer."""
    print("\n| tokenizer | llama.cpp's | plain | with special tokens | as content |\n|---|---|---|---|---|")
    for kind in tokens.KINDS:
        path = _convert(write_checkpoint(work / f"t-{kind}", TINY_LLAMA, TINY_LLAMA_SHAPES, kind))
        with opened(path, vocab_only=True) as llama:
            plain = [llama.tokens(llama.preparation.apply(line)) for line in plain_lines()]
            lines = tokens.mixed_lines(kind)
            special = [llama.tokens(llama.preparation.apply(line)) for line in lines]
            content = [llama.preparation.apply_to_content(line) for line in lines]
            text = [llama.tokens(line, specials=False, around=False) for line in content]
            model, pre = (llama.metadata()[f"tokenizer.ggml.{key}"] for key in ("model", "pre"))
        results = {"plain": plain, "special": special, "text": text}
        print(f"| {kind} | {model} {pre} | {' | '.join(_share(kind, *item) for item in results.items())} |")


def _share(kind: str, part: str, ids: list[list[int]]) -> str:
    wanted = tokens.recorded(kind, part)
    return f"{sum(map(list.__eq__, ids, wanted))} of {len(ids)}" if ids else "–"


def packings(work: Path) -> None:
    """Prints what GPTQ and AWQ layers become, and how far weights and logits are from the originals."""
    print("\n| checkpoint | becomes | weights, steps | stored, cosine | computed, cosine | same best |")
    print("|---|---|---|---|---|---|")
    for number, scheme in enumerate(packed.SCHEMES):
        checkpoint, original, layers = packed.write_pair(work / f"p{number}", scheme)
        repacked, target = _convert(checkpoint), _convert(original, Dtype.FLOAT32)
        wanted, computed = packed.logits_of(target), packed.logits_of(repacked)
        kind, weight = packed.read_weight(repacked, "blk.1.ffn_down.weight")
        layer = layers["model.layers.1.mlp.down_proj.weight"]
        steps = np.abs(weight - layer.weight) / layer.scales.astype(np.float32)[:, layer.group_of]
        packed.put_weights(repacked, target)
        stored = cosines(packed.logits_of(target), wanted).min()
        same = np.mean(computed.argmax(1) == wanted.argmax(1))
        row = (
            scheme,
            kind,
            f"{steps.max():.3f}",
            f"{stored:.6f}",
            f"{cosines(computed, wanted).min():.4f}",
            f"{same:.1%}",
        )
        print("| " + " | ".join(map(str, row)) + " |")


def quantisation(work: Path) -> None:
    """Prints size and mean cosine of logits, by quantisation type."""
    print("\n| type | size of BF16 | cosine, mean |\n|---|---|---|")
    source = _convert(write_checkpoint(work / "w", wide.WIDE, wide.WIDE_SHAPES, "llama2"), Dtype.BFLOAT16)
    with opened(source) as llama:
        before = llama.logits(wide.TOKENS)
    for name in QUANTISATION_TYPES:
        quantise_file(source, work / "q.gguf", name, lambda *_: None)
        with opened(work / "q.gguf") as llama:
            mean = cosines(before, llama.logits(wide.TOKENS)).mean()
        print(f"| {name} | {(work / 'q.gguf').stat().st_size / source.stat().st_size:.0%} | {mean:.4f} |")


def main() -> None:
    """Prints all tables."""
    with tempfile.TemporaryDirectory() as directory:
        for part in (families, embeddings, tokenizers, packings, quantisation):
            part(Path(directory))


if __name__ == "__main__":
    main()
