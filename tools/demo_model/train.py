"""Training: a fixed number of steps, Muon for the matrices, AdamW for the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from random import Random

import torch
from torch.optim import AdamW, Muon, Optimizer

from .batches import WIDTHS, Batch, Item, batches
from .circuit import install
from .model import Llama, Shape


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train; the rate rises over `warmup` steps, holds, and falls to zero over the last part `decay`."""

    steps: int
    budget: int = 2048
    warmup: int = 100
    decay: float = 0.6
    muon_rate: float = 0.0025
    adam_rate: float = 0.008
    weight_decay: float = 0.05
    seed: int = 1
    threads: int = 2
    save_every: int = 100


def rate(plan: Plan, step: int) -> float:
    """Return the factor on the learning rates at a step."""
    falling = (plan.steps - step) / (plan.decay * plan.steps)
    return min(1.0, (step + 1) / plan.warmup, falling)


def optimizers(model: Llama, plan: Plan) -> list[Optimizer]:
    """Return Muon for the matrices of the layers, and AdamW for the embedding and the norms."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(matrices, lr=plan.muon_rate, weight_decay=plan.weight_decay, adjust_lr_fn="match_rms_adamw"),
        AdamW(rest, lr=plan.adam_rate, weight_decay=0.0, betas=(0.9, 0.98)),
    ]


def _endless(items: list[Item], plan: Plan, fill: int) -> Iterator[Batch]:
    for epoch in count():
        yield from batches(items, plan.budget, fill, Random(f"{plan.seed}/{epoch}"))


def _set_rates(chosen: list[Optimizer], plan: Plan, step: int) -> None:
    for optimizer, base in zip(chosen, (plan.muon_rate, plan.adam_rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = base * rate(plan, step)


def _step(model: Llama, chosen: list[Optimizer], batch: Batch) -> float:
    loss = model.loss(batch.tokens, batch.targets, batch.wanted)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in chosen:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def save(model: Llama, path: Path, **progress: object) -> None:
    """Write the shape, the weights and what is needed to go on, in one move."""
    part = path.with_suffix(".part")
    torch.save({"shape": asdict(model.shape), "weights": model.state_dict(), **progress}, part)
    part.replace(path)


def load(path: Path) -> Llama:
    """Return the model of a checkpoint."""
    saved = torch.load(path, weights_only=True)
    model = Llama(Shape(**saved["shape"]))
    model.load_state_dict(saved["weights"])
    return model.eval()


def _resume(model: Llama, chosen: list[Optimizer], path: Path) -> int:
    if not path.exists():
        return 0
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["weights"])
    for optimizer, state in zip(chosen, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return int(saved["step"])


def _compile(model: Llama) -> None:
    torch._dynamo.config.recompile_limit = 2 * len(WIDTHS)
    model.compile_blocks()


def train(shape: Shape, items: list[Item], plan: Plan, fill: int, path: Path) -> None:
    """Train a model on the items, going on from the checkpoint at `path` if there is one; a log grows beside it."""
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    model = Llama(shape)
    install(model)
    _compile(model)
    chosen = optimizers(model, plan)
    first = _resume(model, chosen, path)
    source = islice(_endless(items, plan, fill), first, plan.steps)
    progress = Progress(path.with_suffix(".log.jsonl"))
    for step, batch in enumerate(source, first):
        _set_rates(chosen, plan, step)
        progress.add(step + 1, _step(model, chosen, batch), batch.tokens.numel())
        if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
            save(model, path, step=step + 1, optimizers=[optimizer.state_dict() for optimizer in chosen])


class Progress:
    """The log of a run: the loss since the last line, the tokens and the seconds since the start."""

    def __init__(self, path: Path, every: int = 25) -> None:
        """Append to the file at `path`, one line for `every` steps."""
        self.file = path.open("a")
        self.every = every
        self.start = time.monotonic()
        self.losses: list[float] = []
        self.tokens = 0

    def add(self, step: int, loss: float, tokens: int) -> None:
        """Count one step."""
        self.losses.append(loss)
        self.tokens += tokens
        if step % self.every == 0:
            mean, seconds = sum(self.losses) / len(self.losses), time.monotonic() - self.start
            line = {"step": step, "loss": round(mean, 4), "tokens": self.tokens, "seconds": round(seconds)}
            print(json.dumps(line), file=self.file, flush=True)
            self.losses.clear()
