"""Options and helpers shared by the commands."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
import grpc

from llm_inference_api.cli.terminal import visible
from llm_inference_api.config.settings import Settings, SettingsError, load_settings
from llm_inference_api.errors import StartError

if TYPE_CHECKING:
    from llm_inference_client import ServiceError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

Result = TypeVar("Result")

address_option = click.option(
    "--address",
    default="localhost:50051",
    envvar="LLM_ADDRESS",
    show_default=True,
    help="The service's host:port, of gRPC or REST, after https:// for TLS. LLM_API_KEY is the API key to send; "
    "LLM_TLS_CA, LLM_TLS_CERT and LLM_TLS_KEY are PEM files: the CA of the service's certificate, the client "
    "certificate, its key.",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def calls_service(command: Callable[..., Coroutine[Any, Any, Result]]) -> Callable[..., Result]:
    """Wraps a command's coroutine as a synchronous command.

    Failed calls become a one-line message and exit code 1; StartError, and text that is not UTF-8, a usage error (exit
    code 2).
    """

    @wraps(command)
    def run(*args: Any, **options: Any) -> Result:
        from llm_inference_client import ServiceError

        try:
            return asyncio.run(command(*args, **options))
        except ServiceError as error:
            raise click.ClickException(sentence_of(error, str(options["address"]))) from error
        except StartError as error:
            raise click.UsageError(str(error)) from error
        except UnicodeError as error:
            raise click.UsageError("arguments and standard input must be text in UTF-8") from error
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)

    return run


def sentence_of(error: "ServiceError", address: str) -> str:
    """Returns what a failed call to the address means for the person at the terminal, with the status's name."""
    text = error.message or _MEANINGS.get(error.code, "the service does not say why")
    if error.code is grpc.StatusCode.UNAUTHENTICATED:
        text += "; set LLM_API_KEY to the key that this command is to send"
    elif error.reason in _UNREACHABLE:
        text = _UNREACHABLE[error.reason].format(address)
    elif error.code is grpc.StatusCode.DEADLINE_EXCEEDED and text == "Deadline Exceeded":
        text = f"the service at {address} does not answer in time"  # gRPC's own words, not the service's.
    return visible(f"{text} ({error.code.name})")


_UNREACHABLE = {
    "HOST_NOT_FOUND": "the host's name in {} cannot be resolved",
    "CERTIFICATE_NOT_TRUSTED": "the certificate of the service at {} is not trusted; LLM_TLS_CA is its CA's PEM file",
    "CERTIFICATE_OF_ANOTHER_HOST": "the certificate of the service at {} is for another name",
    "NO_TLS": "what answers at {} speaks no TLS; write http:// before host:port",
    "NO_GRPC": "what answers at {} speaks no gRPC; give the service's gRPC or REST port",
    "CONNECTION_CLOSED": "what answers at {} closes the connection. With TLS, write https:// before host:port; where "
    "clients need a certificate, set LLM_TLS_CERT and LLM_TLS_KEY",
    "NO_ANSWER": "the service at {} does not answer in time",
    "NOTHING_ANSWERS": "no service answers at {}; is it running?",
}
"""What to do about failed connections, by the client's reason."""
_MEANINGS = {
    grpc.StatusCode.NOT_FOUND: "the service does not have what was asked for",
    grpc.StatusCode.UNAVAILABLE: "the service cannot be reached now",
    grpc.StatusCode.PERMISSION_DENIED: "the service does not allow it",
}
"""What statuses mean that come without a text."""


async def beside(main: Awaitable[Result], background: Coroutine[Any, Any, None]) -> Result:
    """Runs both concurrently; cancels `background` when `main` ends. Returns the result of `main`."""
    task = asyncio.create_task(background)
    try:
        return await main
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def settings_or_exit(**overrides: Any) -> Settings:
    """Returns the settings; prints the problems and exits with code 2 if they are invalid."""
    try:
        return load_settings(**overrides)
    except SettingsError as error:
        click.echo(f"the settings cannot be used:\n{error}", err=True)
        sys.exit(EXIT_USAGE)
