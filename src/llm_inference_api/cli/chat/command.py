"""The command `llm-inference-api chat`."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from llm_inference_api.cli.common import address_option, calls_service
from llm_inference_api.cli.options import given, model_option, sampling_options
from llm_inference_api.cli.terminal import visible

if TYPE_CHECKING:
    from llm_inference_api.cli.chat.conversation import Conversation
    from llm_inference_api.cli.connection import Client

_START_TIMEOUT = 5.0
"""Seconds in which the service must say at the start which models it has."""


@click.command()
@click.argument("message", required=False)
@model_option
@click.option("--system", default="", help="System prompt.")
@sampling_options
@click.option("--stats", is_flag=True, help="After each answer, say how long it took.")
@click.option("--history/--no-history", default=True, show_default=True, help="Keep what is typed for later sessions.")
@address_option
@calls_service
async def chat(
    message: str | None,
    *,
    system: str,
    stats: bool,
    history: bool,
    address: str,
    **parameters: Any,
) -> None:
    """Chat with a model: one MESSAGE, the lines of standard input, or a conversation in the terminal.

    In the terminal answers are shown as Markdown, and /help lists the commands.
    """
    from llm_inference_api.cli.connection import connect

    async with connect(address) as client:
        if message is None and sys.stdin.isatty() and sys.stdout.isatty():
            from llm_inference_api.cli.chat.session import Session

            conversation = await _conversation(client, system, given(parameters))
            kept = history_path() if history else None
            await Session(client, conversation, address, kept, shows_figures=stats).run()
        else:
            messages = [message] if message is not None else _lines()
            await _answer(client, messages, system, given(parameters), shows_figures=stats)


async def _conversation(client: "Client", system: str, parameters: dict[str, Any]) -> "Conversation":
    """Returns a conversation that begins, once the service has said that it has the model."""
    from llm_inference_api.cli.chat.commands import default_model, known_model
    from llm_inference_api.cli.chat.conversation import Conversation
    from llm_inference_api.cli.chat.parameters import ChatError

    models, model = await client.models(_START_TIMEOUT), parameters.pop("model", "")
    try:
        model = known_model(models, model) if model else default_model(models)
    except ChatError as error:
        raise click.ClickException(visible(str(error))) from error
    return Conversation(model, system, parameters)


async def _answer(
    client: "Client", messages: Iterable[str], system: str, parameters: dict[str, Any], *, shows_figures: bool
) -> None:
    """Prints the answer to each message of one conversation: as Markdown on a terminal, else as it is."""
    from llm_inference_api.cli.chat.answer import PartialAnswer, read_answer
    from llm_inference_api.cli.chat.views import view

    said = [("system", system)] if system else []
    for message in messages:
        said.append(("user", message))
        answer = PartialAnswer()
        await read_answer(client.chat(said, parameters), answer, view())
        if answer.is_cut:
            click.echo("[cut at max_tokens]", err=True)
        if shows_figures and answer.figures:
            click.echo(f"[{answer.figures}]", err=True)
        said.append(("assistant", answer.text))


def _lines() -> Iterator[str]:
    """Yields each non-empty line of standard input."""
    while line := _next_line():
        if line.strip():
            yield line.removesuffix("\n")


def _next_line() -> str:
    # asyncio's handler would wait for the end of the read.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, handler)


def history_path() -> Path:
    """Returns the file with what was typed in earlier sessions."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "llm-inference-api" / "chat-history"
