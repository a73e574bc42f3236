"""The command `llm-inference-api models recommend`: which sizes of models this machine has the memory for."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import click

from llm_inference_api.cli.common import json_option, settings_or_exit
from llm_inference_api.cli.terminal import cell, console, table

_GIB = 1 << 30
_BITS = {"Q4_K_M": 4.85, "Q8_0": 8.5, "F16": 16.0}
"""Bits of a weight, with the scales of its block: the sizes of llama.cpp's own files (tools/quantize/README.md)."""
_OVERHEAD = 0.4 * _GIB
"""Bytes of a worker besides weights and cache."""
_SHAPES = (
    (0.6, 28, 8, 128),
    (1.5, 28, 2, 128),
    (4.0, 36, 8, 128),
    (8.0, 36, 8, 128),
    (14.0, 40, 8, 128),
    (32.0, 64, 8, 128),
    (70.0, 80, 8, 128),
    (120.0, 88, 8, 128),
)
"""Billions of weights, layers, key-value heads and their size: those of Qwen2.5, Qwen3, Llama 3.3 and Mistral Large."""
_LEAST_CONTEXT = 2048
"""Tokens below which a model is of little use."""


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One size of models, in one type of weights."""

    billions: float
    type: str
    gib: float
    """Memory with a cache for `context` tokens."""
    context: int
    """Tokens of one request that fit beside the weights, at most `--context`."""
    fits: bool


@click.command("recommend")
@click.option("--context", type=click.IntRange(512), default=8192, show_default=True, help="Tokens of a request.")
@click.option("--all", "shows_all", is_flag=True, help="List what does not fit too.")
@json_option
def recommend(*, context: int, shows_all: bool, as_json: bool) -> None:
    """Say which sizes of models fit into this machine's memory.

    Sizes are in billions of weights, as models' names have them; models with experts need the memory of all of them. A
    GPU's memory is not counted. `bench` measures how fast a model is here.
    """
    from llm_inference_api.models.memory_budget import available_memory

    budget = settings_or_exit().memory_budget or available_memory()
    found = [row for row in recommendations(budget, context) if row.fits or shows_all]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in found], indent=2))
        return
    rows = table("size", "type", "memory", "context", "")
    for row in found:
        last = (f"{row.context:,}", "") if row.fits else ("", "does not fit")
        rows.add_row(*map(cell, (f"{row.billions:g} B", row.type, f"{row.gib:.1f} GiB", *last)))
    terminal = console()
    terminal.print(f"{budget / _GIB:.1f} GiB for models (LLM_MEMORY_BUDGET)")
    terminal.print(rows)


def recommendations(budget: int, context: int) -> Iterator[Recommendation]:
    """Yields each size in each type, for a budget in bytes and a request of `context` tokens."""
    for billions, layers, heads, size in _SHAPES:
        for kind, bits in _BITS.items():
            weights = billions * 1e9 * bits / 8
            per_token = 2 * 2 * layers * heads * size  # A key and a value, in two bytes each.
            room = budget - weights - _OVERHEAD
            fitting = min(context, int(max(room, 0) // per_token))
            fits = fitting >= min(context, _LEAST_CONTEXT)
            tokens = fitting if fits else context
            total = (weights + _OVERHEAD + tokens * per_token) / _GIB
            yield Recommendation(billions, kind, total, tokens, fits)
