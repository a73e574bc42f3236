"""Tokens in batches: conversations of like length together, each in a row of its own, padded at the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

WIDTHS = (24, 40, 64, 96, 144, 208, 320, 512, 1024)
Item = tuple[list[int], list[bool]]


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's rows: inputs, the tokens that follow them, and which of those are learnt."""

    tokens: Tensor
    targets: Tensor
    wanted: Tensor


def _width(length: int) -> int | None:
    return next((width for width in WIDTHS if length <= width), None)


def _pad(rows: list[Item], width: int, fill: int) -> Batch:
    tokens = torch.full((len(rows), width + 1), fill)
    learnt = torch.zeros(len(rows), width + 1, dtype=torch.bool)
    for i, (ids, wanted) in enumerate(rows):
        tokens[i, : len(ids)] = torch.tensor(ids)
        learnt[i, : len(ids)] = torch.tensor(wanted)
    return Batch(tokens[:, :-1], tokens[:, 1:], learnt[:, 1:])


def batches(items: list[Item], budget: int, fill: int, rng: Random) -> Iterator[Batch]:
    """Yield one pass over the items in random order, each batch about `budget` tokens of one width."""
    waiting: dict[int, list[Item]] = {width: [] for width in WIDTHS}
    for item in rng.sample(items, len(items)):
        width = _width(len(item[0]) - 1)
        if width is None:
            continue
        waiting[width].append(item)
        if len(waiting[width]) == max(1, budget // width):
            yield _pad(waiting[width], width, fill)
            waiting[width] = []
