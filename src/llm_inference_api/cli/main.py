"""Entry point and commands of `llm-inference-api`."""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

import click
import grpc

from llm_inference_api import __version__
from llm_inference_api.cli.bench import bench
from llm_inference_api.cli.chat.command import chat
from llm_inference_api.cli.common import EXIT_FAILED, EXIT_USAGE, address_option, calls_service, settings_or_exit
from llm_inference_api.cli.completion import completion
from llm_inference_api.cli.decide.command import decide
from llm_inference_api.cli.doctor import doctor
from llm_inference_api.cli.models import models
from llm_inference_api.cli.options import given, model_option, sampling_options
from llm_inference_api.cli.settings import show_settings
from llm_inference_api.cli.terminal import visible
from llm_inference_api.config.settings import hide_secrets, misspelt_variables, start_warnings
from llm_inference_api.errors import StartError, start_error
from llm_inference_api.files import check_open_files
from llm_inference_api.network import listed, spare_loopback
from llm_inference_api.processes.garbage import kept
from llm_inference_api.shutdown import exit_within
from llm_inference_api.worker.start import start_next_worker

_EXIT_LIMIT = 5.0
"""Seconds from the end of the service's parts to the end of the process. The deployments allow 12 s after the drain."""


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    spare_loopback(os.environ)
    cli(prog_name="llm-inference-api")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Serve language models on your own machine, and talk to them."""
    if context.invoked_subcommand != serve.name:  # It logs all of them.
        for warning in misspelt_variables(os.environ):
            click.echo(f"Warning: {visible(warning)}", err=True)


@cli.command()
@click.option("--envoy/--no-envoy", default=True, show_default=True, help="Start Envoy too, for REST.")
@click.option("--host", "hostname", help="Addresses to listen on (LLM_INFERENCE_HOSTNAME).")
@click.option("--port", type=int, help="REST port (LLM_INFERENCE_PORT).")
@click.option("--grpc-port", type=int, help="gRPC port (LLM_GRPC_PORT).")
@click.option("--models", "allowed_models", help="Models to serve (LLM_ALLOWED_MODELS).")
@click.option("--model-path", help="Directory of the model files (LLM_MODEL_PATH).")
@click.option("--config", "config_file", help="JSON file with settings (LLM_CONFIG_FILE).")
def serve(*, envoy: bool, **overrides: Any) -> None:
    """Run the service until SIGTERM, SIGHUP or Ctrl-C; a second signal stops it at once.

    Options take precedence over environment variables, and these over config.json; `llm-inference-api settings` lists
    all settings.
    """
    runner = asyncio.Runner()
    try:
        with kept():
            check_open_files()
            settings = settings_or_exit(uses_files=True, **overrides)
            hide_secrets()
            # Slow to import: other commands do without.
            from llm_inference_api.models.llama_library import check_rpc, use_library

            if settings.llama_library is not None:
                use_library(settings.llama_library)
            if settings.preload and settings.cluster is None:
                start_next_worker()  # It imports beside this process.
            from llm_inference_api import server
            from llm_inference_api.cli.load_bars import load_bars
            from llm_inference_api.observability.log import set_up_log

            terminal = set_up_log(settings.log_format, settings.log_level, settings.service_name, __version__)
            for warning in start_warnings(os.environ):
                logging.getLogger(__name__).warning("%s", warning)
            if settings.rpc_servers:
                check_rpc()
            runner.get_loop()
    except StartError as error:
        refuse_start(error)
    except OSError as error:
        refuse_start(start_error(error))
    with load_bars(terminal) as bars, runner:
        run_to_the_end(runner, server.serve(settings, bars, with_envoy=envoy))


def run_to_the_end(runner: asyncio.Runner, service: Coroutine[Any, Any, None]) -> None:
    """Runs the service, and sees to it that the process ends soon after it, with exit code 2 if it cannot start."""
    code = EXIT_FAILED
    try:
        runner.run(service)
        code = 0
    except StartError as error:
        code = EXIT_USAGE
        refuse_start(error)
    finally:
        exit_within(_EXIT_LIMIT, code)


def refuse_start(error: StartError) -> NoReturn:
    """Says why the service cannot start, and ends the process with exit code 2."""
    click.echo(f"cannot start: {error}", err=True)
    sys.exit(EXIT_USAGE)


@cli.command("envoy-config")
@click.option("--listen", default=None, help="Addresses that Envoy listens on; LLM_INFERENCE_HOSTNAME by default.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    default=("127.0.0.1:50051",),
    show_default=True,
    help="The service's gRPC host:port, or unix: and the path of LLM_GRPC_SOCKET; several, or a name, are replicas.",
)
@click.option(
    "--affinity/--no-affinity",
    default=True,
    show_default=True,
    help="Send the requests of a conversation to the same replica.",
)
@click.option("--upstream-ca", help="PEM file of the CA of the service's certificate, for host:port with TLS.")
@click.option(
    "--descriptor",
    default="/etc/envoy/descriptor.pb",
    show_default=True,
    help="Path of the descriptor set on Envoy's machine.",
)
@click.option("--admin-port", type=int, help="Envoy's admin port, on 127.0.0.1; all users of the machine can reach it.")
@click.option("--admin-socket", help="Path of a Unix socket for Envoy's admin, for Envoy's user only.")
@click.option("--metrics-port", type=int, help="Port with Envoy's own metrics at /metrics; with one of the two above.")
@click.option("--access-log/--no-access-log", default=True, show_default=True, help="Log each request.")
@click.option("--print-descriptor-path", is_flag=True, help="Only print the path of the installed descriptor set.")
@click.option(
    "--write-to",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write all files that Envoy needs to this directory instead; it must have the same path on Envoy's machine.",
)
def envoy_config(  # noqa: PLR0913
    *,
    listen: str | None,
    upstreams: tuple[str, ...],
    affinity: bool,
    upstream_ca: str | None,
    descriptor: str,
    admin_port: int | None,
    admin_socket: str | None,
    metrics_port: int | None,
    access_log: bool,
    print_descriptor_path: bool,
    write_to: Path | None,
) -> None:
    """Print the bootstrap of an external Envoy: a sidecar container, or a front proxy of several replicas."""
    from llm_inference_api.envoy.bootstrap import bootstrap
    from llm_inference_api.envoy.files import tls_of, upstream_of, write_files
    from llm_inference_api.envoy.guard import page_policy
    from llm_inference_api.envoy.replicas import are_replicas, front_bootstrap
    from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
    from llm_inference_api.envoy.tracing import tracer_choice

    if print_descriptor_path:
        click.echo(descriptor_path())
        return
    if admin_port is not None and admin_socket is not None:
        raise click.UsageError("--admin-socket: give either this or --admin-port")
    if metrics_port is not None and admin_port is None and admin_socket is None:
        raise click.UsageError("--metrics-port: give --admin-port or --admin-socket too, where the metrics come from")
    settings = settings_or_exit()
    try:
        where = upstream_of(settings, upstreams, upstream_ca)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    directory = str(write_to.absolute()) if write_to else str(Path(descriptor).parent)
    first, *others = listed(listen or settings.hostname)
    sidecar = Sidecar(
        listen=first,
        more_addresses=others,
        port=settings.port,
        ollama_port=settings.ollama_port,
        tls=tls_of(settings, directory),
        descriptor=f"{directory}/descriptor.pb" if write_to else descriptor,
        pages=page_policy(settings),
        longest_request=settings.max_request_timeout,
        write_timeout=settings.write_timeout,
        admin_port=admin_port,
        admin_socket=admin_socket,
        metrics_port=metrics_port,
        access_log=access_log,
        tracer=tracer_choice(settings),
        **where,
    )
    rendered = front_bootstrap(sidecar, affinity=affinity) if are_replicas(sidecar) else bootstrap(sidecar)
    if write_to:
        write_files(write_to, rendered, settings.tls_files)
    else:
        click.echo(rendered, nl=False)


@cli.command()
@click.option("--model", help="Check this model's health instead of the service's.")
@address_option
@calls_service
async def health(model: str | None, address: str) -> None:
    """Check whether the service accepts requests; exit code 0 if it does, 1 if not."""
    from llm_inference_api.cli.connection import connect
    from llm_inference_client import ServiceError

    # Not traced: probes run this command every few seconds.
    async with connect(address, traced=False) as client:
        try:
            serving = await client.is_serving(model)
        except ServiceError as error:
            if model is None or error.code is not grpc.StatusCode.NOT_FOUND:
                raise
            # gRPC's health service gives no text.
            raise click.ClickException(
                f"model {model!r} is not served here; `models list` names those that are"
            ) from error
    click.echo("SERVING" if serving else "NOT_SERVING")
    sys.exit(0 if serving else EXIT_FAILED)


@cli.command()
@click.argument("prompt")
@model_option
@sampling_options
@address_option
@calls_service
async def generate(prompt: str, address: str, **parameters: Any) -> None:
    """Continue PROMPT; `-` reads it from standard input."""
    from llm_inference_api.cli.chat.answer import show_answer
    from llm_inference_api.cli.chat.views import PlainView
    from llm_inference_api.cli.connection import connect

    text = sys.stdin.read() if prompt == "-" else prompt
    async with connect(address) as client:
        # Not as Markdown, even on a terminal: it continues PROMPT, whatever that is.
        await show_answer(client.generate(text, given(parameters)), PlainView())


cli.add_command(bench)
cli.add_command(chat)
cli.add_command(completion)
cli.add_command(decide)
cli.add_command(doctor)
cli.add_command(models)
cli.add_command(show_settings)
