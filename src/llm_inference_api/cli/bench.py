"""The command `llm-inference-api bench`: how fast a model answers on this machine."""

import asyncio
import json
import random
import statistics
import string
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

import click

from llm_inference_api.cli.common import address_option, calls_service, json_option
from llm_inference_api.cli.options import model_option
from llm_inference_api.cli.terminal import cell, console, table

if TYPE_CHECKING:
    from llm_inference_api.cli.connection import Client

_LETTERS_OF_A_WORD = 3
_WARM_UP = 4
"""Tokens of the request that loads the model."""


class Timed(NamedTuple):
    """One answer."""

    first: float
    """Seconds until its first token."""
    seconds: float
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True, slots=True)
class StreamsRow:
    """What one number of streams gave."""

    streams: int
    prompt_tokens: int
    """Of all streams."""
    tokens: int
    """Generated, of all streams."""
    first_token_ms: float
    """Median."""
    prefill_per_second: float
    """Prompt tokens of all streams, until the last of them had its first token."""
    decode_per_second: float
    """Generated tokens of all streams: each stream's own pace behind its first token, added up."""
    tokens_per_second: float
    """Generated tokens of all streams, over the whole time."""


@click.command()
@model_option
@click.option("--streams", default="1,4", show_default=True, help="Numbers of answers at once, in turn.")
@click.option(
    "--words", type=click.IntRange(1), default=128, show_default=True, help="Words of each prompt, at random."
)
@click.option("--max-tokens", type=click.IntRange(2), default=64, show_default=True, help="Tokens of each answer.")
@json_option
@address_option
@calls_service
async def bench(*, model: str, streams: str, as_json: bool, address: str, **sizes: int) -> None:
    """Measure how fast a model of a running service answers, with prompts that it has not seen.

    Other requests that run meanwhile make it slower, and this makes them slower.
    """
    from llm_inference_api.cli.connection import connect

    widths = _numbers(streams)
    async with connect(address) as client:
        await _answer(client, model, _prompt(1), _WARM_UP)
        rows = [await _measure(client, model, width, **sizes) for width in widths]
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows)


def _numbers(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise click.BadParameter("must be numbers from 1, with commas between, such as 1,4,8", param_hint="--streams")
    return found


def _prompt(words: int) -> str:
    return " ".join("".join(random.choices(string.ascii_lowercase, k=_LETTERS_OF_A_WORD)) for _ in range(words))  # noqa: S311


async def _measure(client: "Client", model: str, width: int, words: int, max_tokens: int) -> StreamsRow:
    began = time.perf_counter()
    answers = await asyncio.gather(*(_answer(client, model, _prompt(words), max_tokens) for _ in range(width)))
    wall = time.perf_counter() - began
    return row(answers, wall)


def row(answers: Sequence[Timed], wall: float) -> StreamsRow:
    """Returns the figures of streams that ran at once and took `wall` seconds together."""
    prompt, tokens = sum(each.prompt_tokens for each in answers), sum(each.tokens for each in answers)
    paces = [(each.tokens - 1) / (each.seconds - each.first) for each in answers if each.seconds > each.first]
    return StreamsRow(
        streams=len(answers),
        prompt_tokens=prompt,
        tokens=tokens,
        first_token_ms=1000 * statistics.median(each.first for each in answers),
        prefill_per_second=prompt / max(each.first for each in answers),
        decode_per_second=sum(paces),
        tokens_per_second=tokens / wall,
    )


async def _answer(client: "Client", model: str, prompt: str, max_tokens: int) -> Timed:
    parameters = {"model": model, "max_tokens": max_tokens, "ignore_eos": True, "temperature": 0.0}
    began, first, usage = time.perf_counter(), 0.0, None
    async for part in client.generate(prompt, parameters):
        if not first and not part.HasField("progress"):
            first = time.perf_counter() - began
        if part.HasField("usage"):
            usage = part.usage
    if usage is None:
        raise click.ClickException("the service gave no usage for an answer")
    return Timed(first, time.perf_counter() - began, usage.prompt_tokens, usage.completion_tokens)


def _print(rows: Sequence[StreamsRow]) -> None:
    shown = table("streams", "first token", "prefill", "decode", "each stream")
    for row in rows:
        shown.add_row(
            cell(row.streams),
            cell(f"{row.first_token_ms:,.0f} ms"),
            cell(f"{row.prefill_per_second:,.0f} tokens/s"),
            cell(f"{row.decode_per_second:,.1f} tokens/s"),
            cell(f"{row.decode_per_second / row.streams:,.1f} tokens/s"),
        )
    console().print(shown)
