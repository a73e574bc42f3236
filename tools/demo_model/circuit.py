"""Initial weights: heads that attend to preceding tokens, and heads that continue a repetition (induction heads).

A network of this size learns such heads by itself, but only after millions of tokens; until then it memorises answers
without reading the numbers and names in the question. These weights are trained like all others.
"""

import torch
from torch import Tensor

from .model import Attention, Llama, Shape

LOOKING, MATCHING = (0, 1), 2
"""Layers whose heads attend to preceding tokens, and the layer whose heads continue repetitions."""
HEADS = 3
"""Heads that are initialised in each of these layers."""
SHARP = 4
"""Rotated pairs of a head whose frequency is high enough to distinguish neighbouring positions."""
LOOK, MATCH, NOTE, COPY = 4.0, 1.4, 1.5, 0.7
"""Strengths of attention by position, of attention by equal tokens, of the note on the preceding token, of the copy."""


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
    """Sets the heads of a fresh model.

    A head of the first layer writes the preceding token into the residual stream. Heads of the third attend to the
    positions whose preceding token is the present one, and copy the token there.
    """
    shape = model.shape
    layers = [module for module in model.modules() if isinstance(module, Attention)]
    for layer in LOOKING:
        _look_back(layers[layer], shape)
    read, write = _basis(shape.dim)[: shape.head], _basis(shape.dim)[: shape.head]
    _note_the_token_before(layers[LOOKING[0]], shape, read, write)
    _continue_repetitions(layers[MATCHING], shape, read, write)
