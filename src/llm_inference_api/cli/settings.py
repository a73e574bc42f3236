"""The command `llm-inference-api settings`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
from pydantic import SecretStr

from llm_inference_api.cli.common import settings_or_exit
from llm_inference_api.cli.terminal import cell, console, on_one_line, table
from llm_inference_api.config.security import SecuritySettings
from llm_inference_api.config.settings import Settings, place_of, variable_of
from llm_inference_api.requests.reference import Reference

_MASKED = "***"


class ShownSetting(NamedTuple):
    """A setting as the command shows it."""

    variable: str
    value: object
    """What JSON has for it; a secret is masked."""
    set_by: str
    meaning: str

    @property
    def text(self) -> str:
        """The value as an environment variable would have it."""
        if isinstance(self.value, list):
            return ",".join(map(str, self.value))
        if isinstance(self.value, bool):
            return str(self.value).lower()
        return "" if self.value is None else str(self.value)


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, by variable.")
def show_settings(*, as_json: bool) -> None:
    """Print every setting with its value and source, and validate them."""
    shown = list(_shown(settings_or_exit(uses_files=True)))
    if as_json:
        values = {name: {"value": value, "set_by": by, "meaning": text} for name, value, by, text in shown}
        click.echo(json.dumps(values, indent=2))
    elif sys.stdout.isatty():
        _print_paragraphs(shown)
    else:
        rows = table("variable", "value", "set by", "meaning")
        for setting in shown:
            rows.add_row(*map(cell, (setting.variable, setting.text, setting.set_by, setting.meaning)))
        console().print(rows)


def _print_paragraphs(shown: list[ShownSetting]) -> None:
    """Prints each setting's value on a line, and its meaning below: columns would be too narrow to be read."""
    from rich.padding import Padding
    from rich.text import Text

    terminal = console()
    for setting in shown:
        line = Text.assemble((setting.variable, "bold"), "=", on_one_line(setting.text))
        if setting.set_by != "default":
            line.append(f"  ({on_one_line(setting.set_by)})", "green")
        terminal.print(line)
        terminal.print(Padding(Text(setting.meaning, "dim"), (0, 0, 0, 4), expand=False))


def _shown(settings: Settings) -> Iterator[ShownSetting]:
    # Security settings come last.
    fields = sorted(Settings.model_fields.items(), key=lambda item: item[0] in SecuritySettings.model_fields)
    for name, info in fields:
        yield ShownSetting(variable_of(name), _json(getattr(settings, name)), place_of(name), str(info.description))


def _json(value: object) -> object:
    match value:
        case SecretStr():
            return _MASKED
        case Reference():
            return value.source if value.id == value.source else f"{value.id}={value.source}"
        case Path():
            return str(value)
        case tuple():
            return [_json(item) for item in value]
    return value
