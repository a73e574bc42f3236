"""Makes a tiny checkpoint of a model that embeds or ranks, what transformers computes, and upstream's GGUF file.

`python -m tests.oracle.checkpoints.encoder_program CASE DIRECTORY CONVERTER`, as program.py. Writes model.gguf
(F32) and answers.npz to the directory: `text0` and so on, the token ids, and `computed`, a vector or the one score of
each text.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file

from tests.oracle.checkpoints.encoder_cases import CASES, LENGTHS, Case
from tests.oracle.checkpoints.program import convert, speak_as_published, spread, tokenizer


def main(case: str, target: str, converter: str) -> None:
    """Makes the files of a case."""
    chosen = CASES[case]
    directory = Path(target)
    # Upstream's converter knows a generative ranker by the name of its directory.
    checkpoint = directory / case.replace("_", "-")
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(**chosen.config)
    config._attn_implementation = "eager"
    model = getattr(transformers, chosen.kind)(config).to(torch.float32).eval()
    spread(model)
    model.save_pretrained(checkpoint)
    tokenizer().save_pretrained(checkpoint)
    speak_as_published(checkpoint / "config.json", dict(chosen.published))
    dense = [torch.randn(wide, narrow) * narrow**-0.5 for narrow, wide in itertools.pairwise((64, *chosen.dense))]
    if chosen.pooling:
        save_modules(checkpoint, chosen.pooling, dense)
    texts = [np.random.RandomState(seed).randint(8, 256, length) for seed, length in enumerate(LENGTHS)]
    computed = [compute(chosen, model, torch.tensor(text)[None], dense) for text in texts]
    named = {f"text{number}": text for number, text in enumerate(texts)}
    np.savez(directory / "answers.npz", computed=np.stack(computed), **named)
    options = {"sentence_transformers_dense_modules": True} if dense else {}
    convert(checkpoint, directory / "model.gguf", Path(converter), **options)


def compute(case: Case, model: torch.nn.Module, text: torch.Tensor, dense: list[torch.Tensor]) -> np.ndarray:
    """Returns the text's vector, or its relevance alone."""
    with torch.no_grad():
        found = model(text)
        if not case.pooling:
            scores = found.logits[0]
            if scores.ndim == 1:
                return torch.sigmoid(scores).numpy()
            answers = [tokenizer().convert_tokens_to_ids(word) for word in ("yes", "no")]
            return torch.softmax(scores[-1, answers], 0)[:1].numpy()
        tokens = found.last_hidden_state[0]
        vector = {"cls": tokens[0], "mean": tokens.mean(0), "lasttoken": tokens[-1]}[case.pooling]
        for weights in dense:
            vector = weights @ vector
        return vector.numpy()


def save_modules(checkpoint: Path, pooling: str, dense: list[torch.Tensor]) -> None:
    """Writes how sentence-transformers says what follows the model."""
    kinds = ["Transformer", "Pooling", *["Dense"] * len(dense)]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds) if number)]
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in zip(kinds, paths, strict=True)
    ]
    (checkpoint / "modules.json").write_text(json.dumps(modules))
    contents = [{"pooling_mode": pooling}]
    contents += [{"in_features": one.shape[1], "out_features": one.shape[0]} for one in dense]
    for path, content in zip(paths[1:], contents, strict=True):
        (checkpoint / path).mkdir()
        (checkpoint / path / "config.json").write_text(json.dumps(content))
    for path, weights in zip(paths[2:], dense, strict=True):
        save_file({"linear.weight": weights}, checkpoint / path / "model.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
