"""Training for a fixed number of steps, with Muon for the matrices and AdamW for the rest."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, islice
from pathlib import Path
from random import Random

import torch
import torch.compiler.config
from torch.optim import AdamW, Muon, Optimizer

from .batches import WIDTHS, Batch, Item, batches
from .circuit import install
from .model import Llama, Shape


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a run."""

    steps: int
    budget: int = 2048
    """Tokens of a batch, padding included."""
    warmup: int = 100
    """Steps over which the learning rates rise."""
    decay: float = 0.6
    """Share of the steps, at the end, over which the learning rates fall to zero."""
    muon_rate: float = 0.0025
    adam_rate: float = 0.008
    weight_decay: float = 0.05
    seed: int = 1
    threads: int = 2
    save_every: int = 100
    """Steps between two checkpoints."""


def rate(plan: Plan, step: int) -> float:
    """Returns the factor on the learning rates at a step, from 0 to 1."""
    falling = (plan.steps - step) / (plan.decay * plan.steps)
    return min(1.0, (step + 1) / plan.warmup, falling)


def optimizers(model: Llama, plan: Plan) -> list[Optimizer]:
    """Returns Muon for the matrices of the layers, and AdamW for embedding, norms and biases."""
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
    """Writes a checkpoint atomically: hyperparameters, weights, and the state needed to resume."""
    part = path.with_suffix(".part")
    torch.save({"shape": asdict(model.shape), "weights": model.state_dict(), **progress}, part)
    part.replace(path)


def load(path: Path) -> Llama:
    """Returns the model of a checkpoint."""
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
    torch.compiler.config.recompile_limit = 2 * len(WIDTHS)
    model.compile_blocks()


def train(shape: Shape, items: list[Item], plan: Plan, fill: int, path: Path) -> None:
    """Trains a model, resuming from the checkpoint at `path` if there is one.

    Args:
        shape: Hyperparameters of the model.
        items: Encoded conversations.
        plan: Settings of the run.
        fill: The token to pad rows with.
        path: The checkpoint; the log is beside it, with the suffix .log.jsonl.
    """
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
    """The log of a run, in JSON lines: mean loss since the last line, tokens and seconds since the start."""

    def __init__(self, path: Path, every: int = 25) -> None:
        """Opens the file at `path` for a line every `every` steps."""
        self.file = path.open("a")
        self.every = every
        self.start = time.monotonic()
        self.losses: list[float] = []
        self.tokens = 0

    def add(self, step: int, loss: float, tokens: int) -> None:
        """Adds the loss and the number of tokens of one step."""
        self.losses.append(loss)
        self.tokens += tokens
        if step % self.every == 0:
            mean, seconds = sum(self.losses) / len(self.losses), time.monotonic() - self.start
            line = {"step": step, "loss": round(mean, 4), "tokens": self.tokens, "seconds": round(seconds)}
            print(json.dumps(line), file=self.file, flush=True)
            self.losses.clear()
