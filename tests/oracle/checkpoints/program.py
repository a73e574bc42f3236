"""Makes a tiny checkpoint with transformers, computes its answers, and has upstream's own converter make a GGUF file.

`python -m tests.oracle.checkpoints.program CASE DIRECTORY CONVERTER`: CONVERTER is llama.cpp's source. Runs in a
Python with transformers, which need not have this service. Writes model.gguf (F32) and answers.npz to the directory:
`prompt0`, `logits0` [tokens, vocabulary] and `greedy0` of the first prompt, and so on.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.oracle.checkpoints.cases import CASES, GREEDY, PROMPTS, PUBLISHED, VOCABULARY

KEPT = ("A_log", "dt_bias")
"""Parameters whose usual values keep states within bounds."""


def main(case: str, target: str, converter: str) -> None:
    """Makes the files of a case."""
    directory = Path(target)
    checkpoint = directory / "checkpoint"
    save(CASES[case], checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
    found = {}
    for number, (length, seed) in enumerate(PROMPTS):
        prompt = np.random.RandomState(seed).randint(8, 256, length)
        logits, greedy = answer(model, prompt)
        found |= {f"prompt{number}": prompt, f"logits{number}": logits, f"greedy{number}": greedy}
    np.savez(directory / "answers.npz", **found)
    speak_as_published(checkpoint / "config.json", PUBLISHED.get(case, {}))
    convert(checkpoint, directory / "model.gguf", Path(converter))


def save(config: dict[str, Any], checkpoint: Path) -> None:
    """Saves a model of random weights that spread its scores, with a tokenizer of bytes."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), attn_implementation="eager")
    model = model.to(torch.float32)
    spread(model)
    model.save_pretrained(checkpoint)
    tokenizer().save_pretrained(checkpoint)


def spread(model: torch.nn.Module) -> None:
    """Fills a model with random weights that do not make all tokens alike."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith(KEPT):
                continue
            if weights.ndim == 1:
                weights.add_(torch.randn_like(weights), alpha=0.1)
            else:
                weights.normal_(0, weights.shape[-1] ** -0.5)


def tokenizer() -> PreTrainedTokenizerFast:
    """Returns a tokenizer with a token for each byte, after those that control."""
    control = ["<s>", "</s>", "<pad>", "<unk>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    texts = [*control, *letters, "th", "he", "in", "yes", "no"]
    texts += [f"word{number}" for number in range(VOCABULARY - len(texts))]
    merges = [("t", "h"), ("h", "e"), ("i", "n")]
    found = Tokenizer(models.BPE({text: number for number, text in enumerate(texts)}, merges))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def answer(model: Any, prompt: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the scores at each token of the prompt, and the tokens that follow it; nothing is cached."""
    tokens = torch.tensor(prompt)[None]
    first = None
    with torch.no_grad():
        for _ in range(GREEDY):
            logits = model(tokens, use_cache=False).logits[0].float().numpy()
            first = logits if first is None else first
            tokens = torch.cat([tokens, torch.tensor([[int(logits[-1].argmax())]])], 1)
    assert first is not None
    return first, tokens[0, len(prompt) :].numpy()


def speak_as_published(path: Path, changes: dict[str, Any]) -> None:
    """Changes a configuration; None takes out what it has, and is written where it has nothing."""
    written = json.loads(path.read_text())
    taken_out = {name for name, value in changes.items() if value is None and name in written}
    config = {name: value for name, value in (written | changes).items() if name not in taken_out}
    path.write_text(json.dumps(config))


def convert(checkpoint: Path, output: Path, converter: Path, **options: Any) -> None:
    """Converts the tensors and their configuration as upstream does. The vocabulary is written as GPT-2's.

    Upstream knows a vocabulary by a digest of what it makes of a text, and there is none of this one.

    Args:
        checkpoint: Directory of the checkpoint.
        output: Path of the GGUF file.
        converter: llama.cpp's source.
        options: Of upstream's class for the model.
    """
    sys.path[:0] = [str(converter), str(converter / "gguf-py")]
    from conversion import ModelType, get_model_architecture, get_model_class  # noqa: PLC0415
    from conversion.base import TextModel  # noqa: PLC0415
    from gguf import LlamaFileType  # noqa: PLC0415 - that of the converter

    # As published: transformers, which the converter asks otherwise, fills in what its newest version would write.
    config = json.loads((checkpoint / "config.json").read_text())
    kind = get_model_class(get_model_architecture(config, ModelType.TEXT))
    kind.set_vocab = written_as_gpt2
    kind._is_tokenizer_xlmroberta = lambda _: False
    kind.no_mtp = True  # Transformers makes no layers that draft.
    TextModel.get_vocab_base_pre = lambda *_: "gpt-2"
    with torch.inference_mode():
        kind(checkpoint, LlamaFileType.ALL_F32, output, hparams=config, **options).write()


def written_as_gpt2(model: Any) -> None:
    """Stands for `set_vocab` of upstream's classes; encoders have types of tokens too."""
    model._set_vocab_gpt2()
    if types := model.hparams.get("type_vocab_size"):
        model.gguf_writer.add_token_type_count(types)


if __name__ == "__main__":
    main(*sys.argv[1:])
