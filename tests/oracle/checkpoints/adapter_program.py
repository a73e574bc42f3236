"""Makes a tiny checkpoint with two LoRA adapters by peft, what both compute, and upstream's GGUF file of the model.

`python -m tests.oracle.checkpoints.adapter_program MODEL_TYPE DIRECTORY CONVERTER`, as program.py. Writes
model.gguf (F32), adapters/a and adapters/b as peft does, and answers.npz to the directory: `prompt`, and the scores
[tokens, vocabulary] of each choice of adapters.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from tests.oracle.checkpoints.adapter_cases import CHOICES, CONFIG, RANK
from tests.oracle.checkpoints.program import convert, save

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main(model_type: str, target: str, converter: str) -> None:
    """Makes the files of a model."""
    directory = Path(target)
    checkpoint = directory / "checkpoint"
    save({"model_type": model_type, **CONFIG}, checkpoint)
    convert(checkpoint, directory / "model.gguf", Path(converter))
    base = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="eager").eval()
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=MODULES)
    model = get_peft_model(base, lora, adapter_name="a")
    model.add_adapter("b", lora)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.normal_(0, 0.3 * weights.shape[-1] ** -0.5)
    model.save_pretrained(directory / "adapters")
    prompt = np.random.RandomState(0).randint(8, 256, 40)
    found = {name: scores(model, scales, torch.tensor(prompt)[None]) for name, scales in CHOICES.items()}
    np.savez(directory / "answers.npz", prompt=prompt, **found)


def scores(model: torch.nn.Module, scales: dict[str, float], prompt: torch.Tensor) -> np.ndarray:
    """Returns the scores at each token with adapters at their scales."""
    with torch.no_grad():
        if not scales:
            with model.disable_adapter():
                return model(prompt).logits[0].numpy()
        model.base_model.set_adapter(list(scales))
        layers = [module for module in model.modules() if isinstance(getattr(module, "scaling", None), dict)]
        for layer in layers:
            for name, scale in scales.items():
                layer.set_scale(name, scale)
        return model(prompt).logits[0].numpy()


if __name__ == "__main__":
    main(*sys.argv[1:])
