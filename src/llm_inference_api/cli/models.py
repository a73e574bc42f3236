"""The commands `llm-inference-api models …`, for a running service and for local model files."""

import asyncio
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from llm_inference_api.cli.cached import cached, remove
from llm_inference_api.cli.common import address_option, beside, calls_service, json_option, settings_or_exit
from llm_inference_api.cli.progress import ProgressBar, Unit, progress_bar
from llm_inference_api.cli.recommend import recommend
from llm_inference_api.cli.terminal import cell, console, on_one_line, table, visible
from llm_inference_api.errors import ServiceError
from llm_inference_api.requests.reference import parse_references

if TYPE_CHECKING:
    from llm_inference_api.cli.connection import Client
    from llm_inference_api.models.source import Preparation, Sources


@click.group()
def models() -> None:
    """Manage the models of a running service, and local model files."""


models.add_command(cached)
models.add_command(recommend)
models.add_command(remove)


@models.command("list")
@json_option
@address_option
@calls_service
async def list_models(*, as_json: bool, address: str) -> None:
    """List the models of a running service and their states."""
    from llm_inference_api.cli.connection import connect, json_of, progress_of

    rows, reasons = table("id", "state", "model", "context", "memory"), table("", "")
    for column in (rows.columns[at] for at in (1, 3, 4)):
        column.no_wrap = True
    async with connect(address) as client:
        found = await client.models()
    if as_json:
        click.echo(json_of(found))
        return
    for model in found:
        known = (f"{model.info.context_length:,}", _mib(model.info.memory_bytes)) if model.HasField("info") else ()
        rows.add_row(*map(cell, (model.id, progress_of(model), model.info.description, *known)))
        if model.reason:
            reasons.add_row(cell(f"{model.id}:"), cell(model.reason))
    terminal = console()
    terminal.print(rows)
    if reasons.row_count:
        terminal.print()
        terminal.print(reasons)


@models.command("load")
@click.argument("model")
@address_option
@calls_service
async def load_model(model: str, address: str) -> None:
    """Load a model and wait until it is active."""
    from llm_inference_api.cli.connection import connect, state_of, unit_of

    async def follow(client: "Client", bar: ProgressBar) -> None:
        async for status in client.watch(model):
            known = status.HasField("progress")
            done, total = (status.progress.done, status.progress.total) if known else (0, None)
            bar.show(state_of(status).lower(), Unit(unit_of(status)), done, total)

    async with connect(address) as client:
        with progress_bar(model) as bar:
            await beside(client.load(model), follow(client, bar))
    click.echo(f"{on_one_line(model)} is active")


@models.command("unload")
@click.argument("model")
@address_option
@calls_service
async def unload_model(model: str, address: str) -> None:
    """Drain a model's requests, then unload it."""
    from llm_inference_api.cli.connection import connect

    async with connect(address) as client:
        await client.unload(model)
    click.echo(f"{model} is unloaded")


@models.command("pull")
@click.argument("reference")
def pull(reference: str) -> None:
    """Download REFERENCE, such as `repo:file.gguf`, and convert it if necessary; prints the file's path."""
    sys.stdout.write(f"{provided(reference)}\n")
    if sys.stderr.isatty():
        click.echo(f"To serve it: llm-inference-api serve --models {shlex.quote(reference)}", err=True)


@models.command("convert")
@click.argument("reference")
@click.option("--type", "quantisation", help="Quantisation type, such as Q4_K_M.")
@click.option("--dtype", type=click.Choice(["float32", "float16", "bfloat16"]), help="Data type if not quantised.")
def convert(reference: str, quantisation: str | None, dtype: str | None) -> None:
    """Convert the checkpoint REFERENCE, such as `repo` or `./directory`, to GGUF; prints the file's path."""
    sys.stdout.write(f"{provided(reference, quantisation, dtype)}\n")


@models.command("show")
@click.argument("reference")
@json_option
def show(reference: str, *, as_json: bool) -> None:
    """Print the metadata in the header of REFERENCE's file, and the memory that the model needs."""
    from llm_inference_api.models.footprint import Room, estimate
    from llm_inference_api.models.gguf_header import read_header
    from llm_inference_api.models.memory_budget import available_memory
    from llm_inference_api.requests.engine_config import ContextChoice

    path = provided(reference)
    settings = settings_or_exit()
    header = read_header(path)
    budget = settings.memory_budget or available_memory()
    context = ContextChoice(settings.context_length, settings.kv_cache_tokens)
    room, slots = Room(budget, budget), settings.max_concurrent_requests
    footprint = estimate([path], context, room, settings.prefix_store, slots=slots)
    needed = {
        "weights": footprint.weights,
        "key-value cache": footprint.cache,
        **({"states of recurrent layers": footprint.states} if footprint.states else {}),
        "prefix store": footprint.store,
        "embeddings": footprint.embeddings,
        "in all": footprint.total,
    }
    if as_json:
        click.echo(json.dumps({"header": header, "bytes": needed}, indent=2))
        return
    rows = table("", "")
    for key, value in header.items():
        rows.add_row(cell(key), cell(_shortened(str(value))))
    for part, size in needed.items():
        rows.add_row(f"memory: {part}", _mib(size))
    console().print(rows)


_MIB = 1 << 20
_LONGEST_VALUE = 100


def _mib(size: float) -> str:
    return f"{size / _MIB:,.0f} MiB"


def _shortened(text: str) -> str:
    """Returns the beginning of a value, which may be a whole chat template."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def provided(text: str, quantisation: str | None = None, dtype: str | None = None) -> Path:
    """Returns the file of a reference; downloads and converts it if necessary, with a progress bar."""
    from llm_inference_api.server import model_sources

    sources = model_sources(settings_or_exit())
    sources = replace(sources, quantisation=quantisation or sources.quantisation, dtype=dtype or sources.dtype)
    try:
        with progress_bar(text) as bar:
            return asyncio.run(_provide(sources, text, bar))
    except (ServiceError, ValueError) as error:
        raise click.ClickException(visible(str(error))) from error


async def _provide(sources: "Sources", text: str, bar: ProgressBar) -> Path:
    (reference,) = parse_references(f"model={text}")

    def update(stage: "Preparation", done: int, total: int) -> None:
        bar.show(stage.name.lower(), Unit.BYTES if stage.value == "BYTES" else Unit.TENSORS, done, total)

    return (await sources.provide(reference, update)).paths[0]
