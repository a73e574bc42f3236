"""The command `llm-inference-api doctor`: what of this machine the service needs, and what to do where it lacks."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from llm_inference_api.cli.common import EXIT_FAILED, json_option
from llm_inference_api.cli.terminal import cell, console, table

if TYPE_CHECKING:
    from llm_inference_api.cli.checks.finding import Finding

_STYLES = {"ok": "green", "advice": "yellow", "problem": "bold red"}


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check what the service needs of this machine, by the settings that `serve` would use.

    Nothing is changed, and no model is loaded. The exit code is 1 if there is a problem; advice is none.
    """
    from llm_inference_api.cli.checks.all import findings

    found = []
    for finding in findings():
        found.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    if any(finding.verdict == "problem" for finding in found):
        sys.exit(EXIT_FAILED)


def _print(finding: "Finding") -> None:
    rows = table("", "", "")
    rows.columns[0].width, rows.columns[1].width = 7, 10
    rows.add_row(cell(finding.verdict, _STYLES[finding.verdict]), cell(finding.subject), cell(finding.says))
    if finding.todo:
        rows.add_row(cell(""), cell(""), cell(f"→ {finding.todo}"))
    console().print(rows)
