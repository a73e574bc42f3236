"""The commands `llm-inference-api models cached` and `models rm`: the models that take room on the disk."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from llm_inference_api.cli.common import json_option, settings_or_exit
from llm_inference_api.cli.terminal import cell, console, on_one_line, table
from llm_inference_api.errors import ModelFailedError, ServiceError
from llm_inference_api.requests.reference import HubOrigin, parse_origin

if TYPE_CHECKING:
    from llm_inference_api.config.settings import Settings
    from llm_inference_api.models.source import Sources

Result = TypeVar("Result")
_SUFFIX = ".gguf"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Cached:
    """A model that is kept on the disk, and can be had again."""

    name: str
    """What `models rm` takes."""
    kind: str
    """`downloaded`, or `converted` from a checkpoint."""
    title: str
    """What a converted file says that it is."""
    bytes: int


@click.command("cached")
@json_option
def cached(*, as_json: bool) -> None:
    """List what takes room on the disk: downloads, and GGUF files that were converted from checkpoints."""
    found = list(_found(settings_or_exit()))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    rows = table("name", "MiB", "is")
    rows.columns[1].justify, rows.columns[1].no_wrap = "right", True
    for each in found:
        what = f"{each.kind} {each.title}" if each.title else each.kind
        rows.add_row(cell(each.name), cell(f"{each.bytes / _MIB:,.0f}"), cell(what))
    console().print(rows)


@click.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def remove(names: tuple[str, ...]) -> None:
    """Remove what `models cached` lists by NAME: a download, or a converted file."""
    settings = settings_or_exit()
    for name in names:
        freed = _remove(settings, name)
        if freed is None:
            raise click.ClickException(f"{on_one_line(name)} is not among the names that `models cached` lists")
        click.echo(f"{on_one_line(name)} is removed, {freed / _MIB:,.0f} MiB are free again")


def _found(settings: "Settings") -> Iterator[Cached]:
    for reference, size in _done(_sources(settings).downloads()):
        yield Cached(reference, "downloaded", "", size)
    for path in sorted(settings.cache_path.glob(f"*{_SUFFIX}")):
        yield Cached(path.name, "converted", _title(path), path.stat().st_size)


def _title(path: Path) -> str:
    from llm_inference_api.models.gguf_header import read_header

    try:
        header = read_header(path)
    except ModelFailedError:
        return ""
    return str(header.get("general.name") or header.get("general.basename") or "")


def _remove(settings: "Settings", name: str) -> int | None:
    """Removes a converted file or a download. Returns the bytes freed; None if there is neither."""
    path = settings.cache_path / Path(name).name
    if path.name == name and path.suffix.lower() == _SUFFIX and path.is_file():
        size = path.stat().st_size
        path.unlink()
        return size
    if name not in {each.name for each in _found(settings)}:
        return None
    origin = parse_origin(name)
    assert isinstance(origin, HubOrigin)
    return _done(_sources(settings).delete(origin))


def _sources(settings: "Settings") -> "Sources":
    from llm_inference_api.server import model_sources

    return model_sources(settings)


def _done(work: Coroutine[Any, Any, Result]) -> Result:
    try:
        return asyncio.run(work)
    except ServiceError as error:
        raise click.ClickException(on_one_line(str(error))) from error
