"""The network: a small Llama, in the layout that llama.cpp reads as architecture `llama`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of one model; `head` is the width of one attention head."""

    vocabulary: int
    dim: int = 192
    layers: int = 6
    head: int = 32
    hidden: int = 512
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def heads(self) -> int:
        """Return how many attention heads a layer has."""
        return self.dim // self.head


def rotation(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines of RoPE for positions 0 to `length`, one column per pair of dimensions."""
    frequencies = shape.rope_base ** (-torch.arange(0, shape.head, 2).float() / shape.head)
    angles = torch.outer(torch.arange(length).float(), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Return `x` with neighbouring dimensions rotated by position, which is llama.cpp's order for this architecture."""
    even, odd = x.view(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), -1).flatten(-2)


class Attention(nn.Module):
    """Causal self-attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        """Make the projections; queries, keys and values come from one matrix."""
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim)
        self.out = nn.Linear(shape.dim, shape.dim, bias=False)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Return what each position gathers from itself and the positions before it."""
        query, key, value = (
            part.view(*x.shape[:-1], self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)
        )
        query, key = rotate(query, cosines, sines), rotate(key, cosines, sines)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        """Make the projections; gate and value come from one matrix."""
        super().__init__()
        self.gate_up = nn.Linear(shape.dim, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated projection of each position."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention, then feed-forward, each behind a norm and added to the stream."""

    def __init__(self, shape: Shape) -> None:
        """Make the layer's norms and its two parts."""
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.attention = Attention(shape)
        self.feed_norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.feed = FeedForward(shape)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Return the residual stream after this layer."""
        x = x + self.attention(self.attention_norm(x), cosines, sines)
        return x + self.feed(self.feed_norm(x))  # type: ignore[no-any-return]


class Llama(nn.Module):
    """The whole network; the output matrix is the embedding."""

    def __init__(self, shape: Shape) -> None:
        """Make the layers with random weights; each layer starts as the identity."""
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.apply(self._initialise)
        nn.init.normal_(self.embedding.weight, std=0.7)
        nn.init.constant_(self.norm.weight, 0.05)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.03)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Attention):
            nn.init.zeros_(module.out.weight)
        if isinstance(module, FeedForward):
            nn.init.zeros_(module.down.weight)

    def compile_blocks(self) -> None:
        """Let torch compile the layers; the vocabulary stays outside, because its number of rows changes."""
        for block in self.blocks:
            block.compile(dynamic=False)

    def states(self, tokens: Tensor) -> Tensor:
        """Return the normed last hidden state of every position."""
        cosines, sines = rotation(self.shape, tokens.shape[1])
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cosines, sines)
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of every position."""
        return functional.linear(self.states(tokens), self.embedding.weight)

    def loss(self, tokens: Tensor, targets: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean cross-entropy over the positions that `wanted` marks; only those meet the vocabulary."""
        logits = functional.linear(self.states(tokens)[wanted], self.embedding.weight)
        return functional.cross_entropy(logits, targets[wanted])
