"""What the network starts with instead of pure noise: heads that look back, and heads that continue a repetition.

A network of this size finds such heads by itself, but only after millions of tokens, and until then it learns answers by
heart without reading the numbers and names in the question. All of this is a start; training is free to change it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .model import Attention, Llama, Shape

LOOKING, MATCHING = (0, 1), 2  # layers
HEADS = 3  # heads in each of those layers
SHARP, LOOK = 4, 4.0  # pairs of dimensions that turn fast enough to tell neighbours apart, and the strength of the look
MATCH, NOTE, COPY = 1.4, 1.5, 0.7  # strengths of the match, of the note on the token before, and of the copy


def _basis(dim: int) -> Tensor:
    basis: Tensor = torch.linalg.qr(torch.randn(dim, dim)).Q
    return basis


def _look_back(attention: Attention, shape: Shape) -> None:
    frequencies = shape.rope_base ** (-torch.arange(0, shape.head, 2).float() / shape.head)[:SHARP]
    queries, keys, _ = attention.qkv.bias.view(3, shape.heads, -1, 2).unbind()
    for head in range(HEADS):
        angles = -(head + 1) * frequencies
        queries[head, :SHARP] = LOOK * torch.stack((angles.cos(), angles.sin()), -1)
        keys[head, :SHARP, 0] = LOOK


def _note_the_token_before(attention: Attention, shape: Shape, read: Tensor, write: Tensor) -> None:
    values = attention.qkv.weight.view(3, shape.heads, shape.head, -1)[2]
    values[0] = read
    attention.out.weight[:, : shape.head] = NOTE * write.T


def _continue_repetitions(attention: Attention, shape: Shape, read: Tensor, write: Tensor) -> None:
    queries, keys, values = attention.qkv.weight.view(3, shape.heads, shape.head, -1).unbind()
    slow = slice(3 * SHARP, shape.head)
    width = shape.head - 3 * SHARP
    copied = _basis(shape.dim).view(shape.heads, shape.head, -1)
    for head in range(HEADS):
        part = slice(head * (shape.head - width) // (HEADS - 1), None)
        queries[head, slow] = MATCH * read[part][:width]
        keys[head, slow] = MATCH * write[part][:width]
        values[head] = copied[head]
        attention.out.weight[:, head * shape.head : (head + 1) * shape.head] = COPY * copied[head].T


@torch.no_grad()
def install(model: Llama) -> None:
    """Set the heads of a fresh model.

    A head of the first layer notes which token came before, and heads of the third look for the place whose token before
    is the present one and copy what stands there.
    """
    shape = model.shape
    layers = [module for module in model.modules() if isinstance(module, Attention)]
    for layer in LOOKING:
        _look_back(layers[layer], shape)
    read, write = _basis(shape.dim)[: shape.head], _basis(shape.dim)[: shape.head]
    _note_the_token_before(layers[LOOKING[0]], shape, read, write)
    _continue_repetitions(layers[MATCHING], shape, read, write)
