"""What the commands share."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

import click
import grpc
import grpc.aio

from llm_inference_api.config.settings import Settings, SettingsError, load_settings
from llm_inference_api.errors import StartError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

Result = TypeVar("Result")

address_option = click.option(
    "--address",
    default="localhost:50051",
    envvar="LLM_ADDRESS",
    show_default=True,
    help="The service's gRPC host:port, with https:// before it for TLS. LLM_API_KEY is the key to show; LLM_TLS_CA, "
    "LLM_TLS_CERT and LLM_TLS_KEY are PEM files: who signed the service's certificate, one's own and its key.",
)


def calls_service(command: Callable[..., Coroutine[Any, Any, Result]]) -> Callable[..., Result]:
    """Runs a coroutine that talks to the service; says in a sentence what goes wrong, and ends with exit code 1."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> Result:
        try:
            return asyncio.run(command(*args, **options))
        except grpc.aio.AioRpcError as error:
            text = error.details() or ""
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                text += "; LLM_API_KEY is the key that this command shows"
            if error.code() is grpc.StatusCode.UNAVAILABLE and "connect" in text.lower():
                text = f"no service answers at {options['address']}; is it running? With TLS, write https://"
            raise click.ClickException(f"{text} ({error.code().name})") from error
        except StartError as error:
            raise click.UsageError(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return run


async def beside(main: Awaitable[Result], background: Coroutine[Any, Any, None]) -> Result:
    """Returns what `main` returns; `background` runs as long."""
    task = asyncio.create_task(background)
    try:
        return await main
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def settings_or_exit(**overrides: Any) -> Settings:
    """Returns the settings; where they cannot be used, says why and ends the process with exit code 2."""
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        click.echo(f"the settings cannot be used:\n{error}", err=True)
        sys.exit(EXIT_USAGE)
