"""The network: a small Llama with the computation of llama.cpp's architecture `llama`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """The hyperparameters of a model."""

    vocabulary: int
    dim: int = 192
    """Width of the residual stream."""
    layers: int = 6
    head: int = 32
    """Width of an attention head."""
    hidden: int = 512
    """Width of the feed-forward network."""
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def heads(self) -> int:
        """Number of attention heads of a layer."""
        return self.dim // self.head


def rotation(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Returns cosines and sines of RoPE (Su et al. 2021), each of shape (length, head / 2)."""
    frequencies = shape.rope_base ** (-torch.arange(0, shape.head, 2).float() / shape.head)
    angles = torch.outer(torch.arange(length).float(), frequencies)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Returns `x` (..., length, head) with neighbouring dimensions rotated, as llama.cpp does for this architecture."""
    even, odd = x.view(*x.shape[:-1], -1, 2).unbind(-1)
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), -1).flatten(-2)


class Attention(nn.Module):
    """Causal self-attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        """Makes the projections, with queries, keys and values in one matrix."""
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.dim, 3 * shape.dim)
        self.out = nn.Linear(shape.dim, shape.dim, bias=False)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Returns the output of each position, of the shape of `x` (batch, length, dim)."""
        query, key, value = (
            part.view(*x.shape[:-1], self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)
        )
        query, key = rotate(query, cosines, sines), rotate(key, cosines, sines)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Feed-forward network with SwiGLU (Shazeer 2020)."""

    def __init__(self, shape: Shape) -> None:
        """Makes the projections, with gate and value in one matrix."""
        super().__init__()
        self.gate_up = nn.Linear(shape.dim, 2 * shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the output of each position, of the shape of `x`."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(functional.silu(gate) * up)  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention, then feed-forward network, each with a norm before it and a residual connection."""

    def __init__(self, shape: Shape) -> None:
        """Makes the norms, the attention and the feed-forward network."""
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.attention = Attention(shape)
        self.feed_norm = nn.RMSNorm(shape.dim, eps=shape.epsilon)
        self.feed = FeedForward(shape)

    def forward(self, x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Returns the residual stream after this layer, of the shape of `x`."""
        x = x + self.attention(self.attention_norm(x), cosines, sines)
        return x + self.feed(self.feed_norm(x))  # type: ignore[no-any-return]


class Llama(nn.Module):
    """The whole network; the embedding is also the output matrix."""

    def __init__(self, shape: Shape) -> None:
        """Makes the layers with random weights; each layer starts as the identity."""
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
        """Compiles the layers; not the output, since the number of its rows differs in each step."""
        for block in self.blocks:
            block.compile(dynamic=False)

    def states(self, tokens: Tensor) -> Tensor:
        """Returns the final hidden states (batch, length, dim) of tokens (batch, length)."""
        cosines, sines = rotation(self.shape, tokens.shape[1])
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cosines, sines)
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns logits (batch, length, vocabulary) of tokens (batch, length)."""
        return functional.linear(self.states(tokens), self.embedding.weight)

    def loss(self, tokens: Tensor, targets: Tensor, wanted: Tensor) -> Tensor:
        """Returns the mean cross-entropy of the positions that `wanted` marks; logits are computed for these alone."""
        logits = functional.linear(self.states(tokens)[wanted], self.embedding.weight)
        return functional.cross_entropy(logits, targets[wanted])
