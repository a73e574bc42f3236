"""Batches of token rows: one conversation in each row, padded at the end, rows of similar length together."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

WIDTHS = (24, 40, 64, 96, 144, 208, 320, 512, 1024)
"""Padded lengths of rows, in tokens; longer conversations are skipped."""
Item = tuple[list[int], list[bool]]
"""The tokens of a conversation, and which of them the loss counts."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step; all tensors have the shape (rows, width)."""

    tokens: Tensor
    """Inputs."""
    targets: Tensor
    """The token that follows each input."""
    wanted: Tensor
    """Boolean: which targets the loss counts."""


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
    """Yields one epoch in random order, in batches of about `budget` tokens; padding is `fill`.

    Rows that do not fill a batch at the end are dropped.
    """
    waiting: dict[int, list[Item]] = {width: [] for width in WIDTHS}
    for item in rng.sample(items, len(items)):
        width = _width(len(item[0]) - 1)
        if width is None:
            continue
        waiting[width].append(item)
        if len(waiting[width]) == max(1, budget // width):
            yield _pad(waiting[width], width, fill)
            waiting[width] = []
