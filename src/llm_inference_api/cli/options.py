"""Options of the commands that generate."""

from collections.abc import Callable
from typing import Any

import click

model_option = click.option("--model", "-m", default="", help="Id of the model; not needed if only one is served.")


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the sampling options to a command."""
    options = (
        click.option("--max-tokens", type=int, help="Maximum number of generated tokens."),
        click.option("--temperature", type=float, help="Sampling temperature, 0 to 2."),
        click.option("--top-p", type=float, help="Nucleus sampling: probability mass, above 0 to 1."),
        click.option("--seed", type=int, help="Seed of the random number generator."),
        click.option("--stop", multiple=True, help="Text that ends the answer; may be given up to 4 times."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters that were set."""
    return {name: value for name, value in parameters.items() if value not in (None, (), "")}
