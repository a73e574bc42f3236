"""Composition root: builds, starts, drains and stops the service."""

import asyncio
import logging
import math
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from llm_inference.v1 import (
    anthropic_pb2,
    anthropic_pb2_grpc,
    decisions_pb2,
    decisions_pb2_grpc,
    embeddings_pb2,
    embeddings_pb2_grpc,
    inference_pb2,
    inference_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    ollama_pb2,
    ollama_pb2_grpc,
    openai_batches_pb2,
    openai_batches_pb2_grpc,
    openai_files_pb2,
    openai_files_pb2_grpc,
    openai_pb2,
    openai_pb2_grpc,
    ranking_pb2,
    ranking_pb2_grpc,
    responses_pb2,
    responses_pb2_grpc,
    scores_pb2,
    scores_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from llm_inference.web.v1 import operations_pb2, operations_pb2_grpc, pages_pb2, pages_pb2_grpc
from llm_inference_api import __version__
from llm_inference_api.api.anthropic.errors import AnthropicErrors
from llm_inference_api.api.anthropic.servicer import AnthropicServicer
from llm_inference_api.api.native.decisions import DecisionServicer
from llm_inference_api.api.native.embeddings import EmbeddingServicer
from llm_inference_api.api.native.errors import NativeErrors
from llm_inference_api.api.native.inference import InferenceServicer
from llm_inference_api.api.native.models import ModelServicer
from llm_inference_api.api.native.ranking import RankingServicer
from llm_inference_api.api.native.scores import ScoreServicer
from llm_inference_api.api.native.tokens import TokenServicer
from llm_inference_api.api.ollama.errors import OllamaErrors
from llm_inference_api.api.ollama.servicer import OllamaServicer
from llm_inference_api.api.openai.batches.batch_servicer import OpenAIBatchServicer
from llm_inference_api.api.openai.batches.endpoints import Endpoints, openai_endpoints
from llm_inference_api.api.openai.batches.file_servicer import OpenAIFileServicer
from llm_inference_api.api.openai.batches.lines import OpenAILines
from llm_inference_api.api.openai.errors import OpenAIErrors
from llm_inference_api.api.openai.responses.errors import ResponsesErrors
from llm_inference_api.api.openai.responses.prompts import Prompts
from llm_inference_api.api.openai.responses.servicer import ResponsesServicer
from llm_inference_api.api.openai.responses.storage.store import ResponseStore, StoreLimits
from llm_inference_api.api.openai.servicer import OpenAIServicer
from llm_inference_api.api.web.metrics import OperationsServicer
from llm_inference_api.api.web.pages import DocumentServicer, PageServicer
from llm_inference_api.batches.files import Bounds
from llm_inference_api.batches.runner import Runner
from llm_inference_api.batches.store import NoStore, Store
from llm_inference_api.config.settings import Settings
from llm_inference_api.decisions.calibration import Calibrations, read_calibrations
from llm_inference_api.envoy import EnvoyProcess
from llm_inference_api.errors import ServiceError, StartError, UnavailableError, listen_error, start_error
from llm_inference_api.generation.decider import Decider
from llm_inference_api.generation.generation import Generations
from llm_inference_api.generation.inquiries import Inquiries
from llm_inference_api.generation.record import Records
from llm_inference_api.generation.timeouts import Timeouts
from llm_inference_api.models.hub.fetch import HubOptions
from llm_inference_api.models.memory_budget import MemoryBudget, available_memory
from llm_inference_api.models.registry import Registry, build_registry
from llm_inference_api.models.rpc_servers import RpcServers
from llm_inference_api.models.served_model import Policy
from llm_inference_api.models.source import Sources
from llm_inference_api.observability.log import fields
from llm_inference_api.observability.metrics import Metrics
from llm_inference_api.observability.metrics_port import MetricsPort
from llm_inference_api.observability.spans import Spans
from llm_inference_api.processes.freed_memory import release_freed_memory
from llm_inference_api.requests.engine_config import ContextChoice, EngineConfig, GpuChoice
from llm_inference_api.requests.limits import MAX_ANSWERS, Limits
from llm_inference_api.requests.model_status import Observer, Observers
from llm_inference_api.rpc.admission import Admission
from llm_inference_api.rpc.authentication import Authenticator
from llm_inference_api.rpc.background import BackgroundCalls
from llm_inference_api.rpc.grpc_leak import free_failed_batches
from llm_inference_api.rpc.health import Health
from llm_inference_api.rpc.interceptor import MAX_RESPONSE_BYTES, CallInterceptor
from llm_inference_api.rpc.ports import Ports
from llm_inference_api.shutdown import Shutdown, in_daemon_thread
from llm_inference_api.worker.start import dismiss_next_worker

if TYPE_CHECKING:
    from llm_inference_api.cluster.connection import Cluster

_LAST_MESSAGES = 1.0
"""Seconds that cancelled streams have to send their final error message."""
_OPEN_WATCHES = 0.5
"""Grace period, in seconds, for streams that never end by themselves, such as health watches."""

_STOP_LIMIT = 6.0
"""Stop timeout of each part, in seconds. Workers and Envoy get 5 s to exit before they are killed, and the deployments
allow 12 s after the drain: enough for one hanging part and all others."""

_ENDING = 0.2
"""Seconds in which calls that are ending anyway, such as watches, do so: they are no requests to wait for."""
_DRAIN_LINES = 10.0
"""Seconds between two lines that say for how many requests the drain waits."""

SWITCH_INTERVAL = 0.001
"""Seconds that the event loop waits for the GIL while another thread computes, each time that it wakes. A request wakes
it several times, so Python's 5 ms would add up to more than 20 ms."""

_RESOLVE_LIMIT = 10.0
"""Seconds in which a name server must answer."""

logger = logging.getLogger(__name__)


async def serve(settings: Settings, observer: Observer, *, with_envoy: bool) -> None:
    """Runs the service until SIGTERM, SIGINT or SIGHUP: build → start → wait → drain → stop.

    Args:
        settings: The settings.
        observer: What is told of the models, beside metrics and health.
        with_envoy: Whether Envoy is started too.

    Raises:
        StartError: The service cannot start.
        Exception: The first failure of a part's stop.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    release_freed_memory()
    signals = Signals()
    try:
        service = build(settings, observer, with_envoy=with_envoy)
    except OSError as error:
        raise start_error(error) from error
    try:
        async with AsyncExitStack() as stack:
            start = asyncio.ensure_future(stack.enter_async_context(service.running()))
            if await _has_started(start, signals):
                first = await signals.first()
                lame_duck = 0.0 if first == signal.SIGINT else settings.lame_duck
                again = "Ctrl-C again" if first == signal.SIGINT else "another SIGTERM or SIGINT"
                await signals.unless_second(service.drain(lame_duck=lame_duck, again=again))
    finally:
        signals.ignore()


async def _has_started(start: asyncio.Future[None], signals: "Signals") -> bool:
    """Waits for the start. Returns False if a signal has ended it. Raises StartError if it failed."""
    try:
        return await signals.none_before(start)
    except OSError as error:
        raise start_error(error) from error


class Signals:
    """SIGTERM, SIGINT and SIGHUP: the first one starts the drain, the second one aborts it.

    SIGHUP is never the second one: terminals send it when they are closed, and systemd may send it after SIGTERM
    (SendSIGHUP). It stays ignored where it was before, as by nohup.
    """

    def __init__(self) -> None:
        self._received: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._is_draining = False
        self._handled = [
            number
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
        ]
        for number in self._handled:
            asyncio.get_running_loop().add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        if number != signal.SIGHUP or not self._is_draining:
            self._received.put_nowait(number)
            self._is_draining = True

    async def first(self) -> signal.Signals:
        """Waits for the next signal and returns it."""
        return await self._received.get()

    async def none_before(self, start: asyncio.Future[None]) -> bool:
        """Waits for the start; a signal cancels it. Returns whether none came. Raises the start's exception, if any."""
        is_signalled = await self._run_unless_signalled(start)
        if not start.cancelled():
            start.result()
        return not is_signalled

    async def unless_second(self, drain: Coroutine[Any, Any, None]) -> None:
        """Runs the drain; the next signal cancels it. Raises the drain's exception, if any."""
        draining = asyncio.ensure_future(drain)
        await self._run_unless_signalled(draining)
        if not draining.cancelled():
            draining.result()

    async def _run_unless_signalled(self, work: asyncio.Future[None]) -> bool:
        """Waits for the work's end; the next signal cancels it. Returns whether one came."""
        signalled: asyncio.Future[Any] = asyncio.ensure_future(self._received.get())
        try:
            await asyncio.wait([work, signalled], return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_signalled = not signalled.cancel()
            work.cancel()
        await asyncio.wait({work})
        return is_signalled

    def ignore(self) -> None:
        """Ignores the signals from now on: what they ask for has been done, and only the process's exit is left."""
        for number in self._handled:
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


@dataclass(slots=True)
class Service:
    """The long-lived parts of the process, with their start, drain and stop."""

    settings: Settings
    registry: Registry
    health: Health
    metrics: Metrics
    admission: Admission
    spans: Spans
    store: ResponseStore
    ports: Ports
    envoy: EnvoyProcess | None
    metrics_port: MetricsPort | None = None
    cluster: "Cluster | None" = None
    batches: Runner | None = None
    grpc_port: int = 0
    stop_limit: float = _STOP_LIMIT
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Starts the service; stops all its parts when the block exits, normally or with an exception.

        If the start fails, the parts that were started are stopped.

        Raises:
            StartError: The service cannot start.
            Exception: The first failure of a part's stop; see `Shutdown`.
        """
        async with Shutdown(self.stop_limit) as shutdown:
            try:
                await self._start(shutdown)
                yield
            finally:
                self.admission.close()
        logger.info("stopped")

    async def _start(self, shutdown: Shutdown) -> None:
        """Opens the ports, and begins to load the preloaded models. Returns before these are loaded.

        Each part is registered for shutdown before it starts, so that one whose start fails halfway is stopped too.
        """
        for hostname in self.settings.hostnames:
            await _check_host(hostname)
        shutdown.add_blocking("next worker", dismiss_next_worker)
        shutdown.add_blocking("spans", self.spans.close)
        shutdown.add_blocking("stored responses", self.store.close)
        await self.store.open()
        if self.metrics_port is not None:
            shutdown.add_blocking("metrics port", self.metrics_port.stop)
            self.metrics_port.start()
        if self.cluster is not None:
            shutdown.add("cluster", self.cluster.close)
            await self.cluster.start()
        if self.envoy is not None:
            # Envoy starts after its upstream ports, and stops after them because it forwards their last messages.
            shutdown.add("Envoy", self.envoy.stop)
        shutdown.add("gRPC ports", partial(self.ports.close, _OPEN_WATCHES))
        sockets = (self.envoy.socket if self.envoy else None, self.settings.grpc_socket)
        self.grpc_port = await self.ports.open(filter(None, sockets))
        shutdown.add("last messages", partial(self.admission.empty, _LAST_MESSAGES))
        shutdown.add("models", self.registry.close)
        if self.batches is not None:
            shutdown.add("batches", self.batches.close)
            await self.batches.start()
        await self.health.start(is_open=self.envoy is None)  # Envoy asks for it first, and again only a second later.
        preloading = asyncio.gather(*map(self._load, self.settings.preload))  # Beside Envoy's start.
        if self.envoy is not None:
            await self.envoy.start(self.ports.certificates)
            await self.health.opened()
        if not self.settings.allowed_models:
            served = ", ".join(model.id for model in self.settings.models)
            logger.info("LLM_ALLOWED_MODELS is unset: the bundled models are served (%s)", served)
        bound = fields(grpc_port=self.grpc_port, rest_port=self.settings.port if self.envoy else None)
        logger.info("serving", extra=bound)
        self._in_background(self._follow(preloading))

    async def drain(self, lame_duck: float, again: str = "another SIGTERM or SIGINT") -> None:
        """Waits for the requests in flight to end, at most `settings.drain_timeout` seconds.

        Args:
            lame_duck: Seconds for which new requests are still admitted while health already says NOT_SERVING.
            again: What ends the wait, for the log.
        """
        logger.info("draining")
        self.metrics.draining()
        await self.health.stop()
        await asyncio.sleep(lame_duck)
        self.admission.close()
        if self.batches is not None:
            await self.batches.stop()
        self.registry.end_watches()
        if not await self._until_empty(self.settings.drain_timeout, again):
            logger.warning("requests are still running after LLM_DRAIN_TIMEOUT; cancelling them")

    async def _until_empty(self, seconds: float, again: str) -> bool:
        """Waits until no RPC is in flight, and says for how many. Returns whether that came within the time."""
        end = time.monotonic() + seconds
        wait = min(_ENDING, seconds)
        while not await self.admission.empty(wait):
            left = end - time.monotonic()
            if left <= 0:
                return False
            count = self.admission.in_flight
            what = "1 request" if count == 1 else f"{count} requests"
            logger.info("waiting for %s, at most %.0f s; %s ends at once", what, math.ceil(left), again)
            wait = min(_DRAIN_LINES, left)
        return True

    async def _follow(self, preloading: Awaitable[list[float | None]]) -> None:
        """Says in the log's last lines where to go, once the models are loaded; tries those again that failed."""
        retries = await preloading
        await in_daemon_thread(dismiss_next_worker, "next worker")  # Where none of these came to need one.
        if self.admission.is_closed:
            return  # The service stops.
        for line in self._directions():
            logger.info("%s", line)
        await asyncio.gather(*map(self._load_again, self.settings.preload, retries))

    def _directions(self) -> Iterator[str]:
        url = self.settings.rest_url
        if self.envoy is not None:
            yield f"chat page: {url}/"
            key = "" if self.settings.key_ring().is_empty else " -H 'Authorization: Bearer <key>'"
            body = '{"messages":[{"role":"user","content":"Hello"}]}'
            yield f"REST: {url}, OpenAI's API: {url}/v1"
            if self.settings.ollama_port is not None:
                yield f"Ollama's API: {url.removesuffix(f':{self.settings.port}')}:{self.settings.ollama_port}"
            yield f"try: curl {url.removeprefix('http://')}/api/chat{key} -d '{body}'"
        yield f"gRPC: port {self.grpc_port}"

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, model: str) -> float | None:
        """Loads a model. If it cannot be loaded now, returns the seconds after which a new try makes sense."""
        try:
            await self.registry.get(model).load()
        except UnavailableError as error:
            return error.retry_after if error.reason != "DRAINING" else None
        except ServiceError:
            pass  # The failure is logged and kept in the model's status.
        return None

    async def _load_again(self, model: str, retry: float | None) -> None:
        """Tries the load again while it fails for want of what may come back, such as the hub.

        A replica whose load has failed is out of its balancer, and gets no request that would load the model.
        """
        while retry is not None:
            await asyncio.sleep(retry)
            retry = await self._load(model)


def build(settings: Settings, observer: Observer, *, with_envoy: bool) -> Service:
    """Returns the service with all parts built and none started."""
    free_failed_batches()
    metrics, health = Metrics(__version__), Health(settings.preload)
    admission = Admission(settings.max_requests_per_caller)
    registry, cluster = build_models(settings, Observers(metrics, health, observer))
    spans = build_spans(settings, metrics)
    keys = settings.key_ring()
    origins = settings.cors_allowed_origins if with_envoy else ()
    exposures = settings.exposures({*settings.hostnames, *settings.grpc_hostnames}, origins)
    for warning in (*keys.warnings(), *exposures):
        logger.warning("%s", warning)
    public = (*RUNNING, PAGES, *((DOCUMENTS,) if settings.public_pages else ()))
    authenticator = Authenticator(keys, public)
    interceptor = CallInterceptor(authenticator, admission, metrics, spans, WIRES, write_timeout=settings.write_timeout)
    store = build_response_store(settings)
    calls = BackgroundCalls(spans)
    server, batches = build_grpc_server(settings, registry, health, Records(metrics), interceptor, store, calls)
    envoy = EnvoyProcess(settings, metrics.refused_by_envoy) if with_envoy else None
    ports = Ports(settings, server, build_health_server(health, interceptor))
    metrics_port = MetricsPort(metrics, settings.hostnames, settings.metrics_port) if settings.metrics_port else None
    return Service(
        settings, registry, health, metrics, admission, spans, store, ports, envoy, metrics_port, cluster, batches
    )


def build_models(settings: Settings, observer: Observer) -> tuple[Registry, "Cluster | None"]:
    """Returns the registry, and the cluster that serves its models, if one does.

    Raises:
        StartError: There is to be a cluster, and Ray is not installed.
    """
    policy = model_policy(settings)
    if settings.cluster is None:
        return build_registry(settings.models, policy, observer, settings.default_model), None
    try:
        from llm_inference_api.cluster.connection import Cluster  # noqa: PLC0415
        from llm_inference_api.cluster.deployment import Scale  # noqa: PLC0415
        from llm_inference_api.cluster.model import ClusterModel  # noqa: PLC0415
        from llm_inference_api.cluster.replica import ReplicaJob, without_token  # noqa: PLC0415
    except ImportError as error:
        raise StartError("LLM_CLUSTER: needs Ray: pip install 'llm-inference-api[cluster]'") from error
    cluster = Cluster(settings.cluster)
    jobs = [
        ReplicaJob(
            reference,
            without_token(policy.sources),
            policy.engine,
            policy.queue_length,
            settings.memory_budget,
            settings.idle_unload,
            min(settings.progress_interval, settings.step_timeout / 4),
        )
        for reference in settings.models
    ]
    scale = Scale(*settings.replica_range, settings.cluster_gpus, settings.drain_timeout)
    models = {
        job.reference.id: ClusterModel(job, scale, cluster, observer, load_on_request=settings.load_on_request)
        for job in jobs
    }
    return Registry(models, settings.default_model), cluster


async def _check_host(hostname: str) -> None:
    """Raises StartError if the host's name cannot be resolved. The parts resolve it once more, which takes no time."""
    try:
        async with asyncio.timeout(_RESOLVE_LIMIT):
            await in_daemon_thread(partial(socket.getaddrinfo, hostname, None), "resolver")
    except socket.gaierror as error:
        raise listen_error("", hostname, 0, error) from error
    except TimeoutError:
        problem = f"cannot be resolved: no name server answered within {_RESOLVE_LIMIT:g} s"
        raise StartError(f"LLM_INFERENCE_HOSTNAME: {hostname} {problem}") from None


def build_spans(settings: Settings, metrics: Metrics) -> Spans:
    """Returns the span factory; a no-op one if no OTLP target is set, so that OpenTelemetry is not imported."""
    if settings.otlp_target is None:
        return Spans()
    from llm_inference_api.observability.tracing import TraceChoice, Tracing  # noqa: PLC0415

    choice = TraceChoice(settings.otlp_target, settings.service_name, settings.sampled)
    return Tracing(choice, metrics.spans_lost)


def build_response_store(settings: Settings) -> ResponseStore:
    """Returns the store of responses."""
    limits = StoreLimits(settings.response_store_size, settings.response_store_ttl)
    return ResponseStore(limits, settings.response_store)


def build_grpc_server(  # noqa: PLR0913, PLR0917 - each is a part of the service
    settings: Settings,
    registry: Registry,
    health: Health,
    records: Records,
    interceptor: grpc.aio.ServerInterceptor,
    store: ResponseStore,
    calls: BackgroundCalls,
) -> tuple[grpc.aio.Server, Runner | None]:
    """Returns a server with all services of the contract, not bound to any port, and what computes its batches."""
    server = grpc.aio.server(interceptors=[interceptor], options=GRPC_OPTIONS)
    limits = Limits(
        settings.default_temperature,
        settings.default_top_p,
        settings.max_tokens_limit,
        min(MAX_ANSWERS, settings.max_concurrent_requests + settings.queue_length),
        settings.default_seed,
    )
    timeouts = Timeouts(settings.request_timeout, settings.max_request_timeout, settings.progress_interval)
    generations = Generations(registry, timeouts, records, settings.max_concurrent_requests)
    inquiries = Inquiries(registry, timeouts, records)
    decider = Decider(generations, inquiries, registry, _calibrations(settings))
    inference_pb2_grpc.add_InferenceServiceServicer_to_server(InferenceServicer(generations, limits), server)
    openai = OpenAIServicer(generations, inquiries, registry, limits, decider)
    openai_pb2_grpc.add_OpenAIServiceServicer_to_server(openai, server)
    responses = ResponsesServicer(generations, Prompts(inquiries, registry), store, limits)
    responses_pb2_grpc.add_ResponsesServiceServicer_to_server(responses, server)
    endpoints = openai_endpoints(openai, responses)
    batches = add_batches(server, settings, endpoints, timeouts, calls, records.metrics)
    anthropic_pb2_grpc.add_AnthropicServiceServicer_to_server(AnthropicServicer(generations, inquiries, limits), server)
    ollama_pb2_grpc.add_OllamaServiceServicer_to_server(
        OllamaServicer(generations, inquiries, registry, limits, settings.idle_unload), server
    )
    models_pb2_grpc.add_ModelServiceServicer_to_server(
        ModelServicer(registry, limits, settings.default_max_tokens), server
    )
    embeddings_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(inquiries), server)
    ranking_pb2_grpc.add_RankingServiceServicer_to_server(RankingServicer(inquiries), server)
    decisions_pb2_grpc.add_DecisionServiceServicer_to_server(DecisionServicer(decider), server)
    scores_pb2_grpc.add_ScoreServiceServicer_to_server(ScoreServicer(generations), server)
    tokens_pb2_grpc.add_TokenServiceServicer_to_server(TokenServicer(inquiries, limits), server)
    pages_pb2_grpc.add_PageServiceServicer_to_server(PageServicer(), server)
    pages_pb2_grpc.add_DocumentServiceServicer_to_server(DocumentServicer(), server)
    operations_pb2_grpc.add_OperationsServiceServicer_to_server(OperationsServicer(records.metrics), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    if settings.reflection:
        reflection.enable_server_reflection(SERVICE_NAMES, server)
    return server, batches


def add_batches(  # noqa: PLR0913, PLR0917 - each is a part of the service
    server: grpc.aio.Server,
    settings: Settings,
    endpoints: Endpoints,
    timeouts: Timeouts,
    calls: BackgroundCalls,
    metrics: Metrics,
) -> Runner | None:
    """Adds the services of files and batches, and returns what computes these; None where they are off."""
    bounds = Bounds(
        settings.batch_store_bytes, settings.batch_caller_bytes, settings.batch_caller_count, settings.batch_lifetime
    )
    store = NoStore() if settings.batch_store is None else Store(settings.batch_store, bounds)
    at_once = settings.batch_lines or settings.max_concurrent_requests
    runner = Runner(store, OpenAILines(endpoints, calls), at_once, metrics.batches)
    openai_files_pb2_grpc.add_OpenAIFileServiceServicer_to_server(OpenAIFileServicer(store, timeouts), server)
    openai_batches_pb2_grpc.add_OpenAIBatchServiceServicer_to_server(
        OpenAIBatchServicer(store, runner, endpoints), server
    )
    return None if settings.batch_store is None else runner


def _calibrations(settings: Settings) -> Calibrations:
    if settings.calibration is None:
        return Calibrations()
    try:
        return Calibrations(read_calibrations(settings.calibration))
    except StartError as error:
        raise StartError(f"LLM_CALIBRATION: {error}") from error


def build_health_server(health: Health, interceptor: grpc.aio.ServerInterceptor) -> grpc.aio.Server:
    """Returns a server with the health service alone, not bound to any port."""
    server = grpc.aio.server(interceptors=[interceptor], options=GRPC_OPTIONS)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    return server


WIRES = {
    inference_pb2.DESCRIPTOR.services_by_name["InferenceService"].full_name: NativeErrors(),
    openai_pb2.DESCRIPTOR.services_by_name["OpenAIService"].full_name: OpenAIErrors(),
    responses_pb2.DESCRIPTOR.services_by_name["ResponsesService"].full_name: ResponsesErrors(),
    openai_files_pb2.DESCRIPTOR.services_by_name["OpenAIFileService"].full_name: OpenAIErrors(),
    openai_batches_pb2.DESCRIPTOR.services_by_name["OpenAIBatchService"].full_name: OpenAIErrors(),
    anthropic_pb2.DESCRIPTOR.services_by_name["AnthropicService"].full_name: AnthropicErrors(),
    ollama_pb2.DESCRIPTOR.services_by_name["OllamaService"].full_name: OllamaErrors(),
}
"""Error writers by service, for services whose streams reach REST clients, which do not see the gRPC status."""

RUNNING = ("/llm_inference.v1.OllamaService/GetOllamaStatus",)
"""The method by which Ollama's clients find out whether a service is there, before they send a key."""

PAGES = "/llm_inference.web.v1.PageService/"
"""Prefix of the methods that serve the web pages, which need no key: they ask for one."""
DOCUMENTS = "/llm_inference.web.v1.DocumentService/"
"""Prefix of the methods that serve the API's description."""

GRPC_OPTIONS = (
    # With SO_REUSEPORT, a second server on the port would silently take a share of its connections.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_send_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_concurrent_streams", 1000),
    # Calls that the event loop has not taken yet: of more than 1,000 gRPC drops some at random, and all that have been
    # there for 30 s, as CANCELLED, which no client tries again. A burst of calls or resets is enough, or a pause.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.server_max_unrequested_time_in_server", 600),
    # Soft and hard limit are equal: gRPC rejects sizes between the two at random. Not below Envoy's header limit.
    ("grpc.max_metadata_size", 16 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
    # gRPC keeps the error of parsing a header with the name's entry in the HPACK table: one caller's bad value would
    # fail all later ones of that name on the connection, which Envoy's callers share.
    ("grpc.http2.hpack_table_size.decoder", 0),
    # Close idle connections and slow handshakes.
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Envoy pings while a call is silent; by default gRPC closes the connection for too many pings.
    ("grpc.http2.max_ping_strikes", 0),
)

SERVICE_NAMES = (
    *(
        service.full_name
        for module in (
            decisions_pb2,
            embeddings_pb2,
            inference_pb2,
            anthropic_pb2,
            models_pb2,
            ollama_pb2,
            openai_batches_pb2,
            openai_files_pb2,
            openai_pb2,
            operations_pb2,
            pages_pb2,
            ranking_pb2,
            responses_pb2,
            scores_pb2,
            tokens_pb2,
            health_pb2,
        )
        for service in module.DESCRIPTOR.services_by_name.values()
    ),
    reflection.SERVICE_NAME,
)


def model_policy(settings: Settings) -> Policy:
    """Returns the registry's policy from the settings: sources, memory budget, engine configuration and limits."""
    engine = EngineConfig(
        model_path=settings.model_path,
        threads=settings.compute_threads,
        slots=settings.max_concurrent_requests,
        default_max_tokens=settings.default_max_tokens,
        queue_timeout=settings.queue_timeout,
        step_timeout=settings.step_timeout,
        context=ContextChoice(settings.context_length, settings.kv_cache_tokens),
        gpu=GpuChoice(settings.gpu_layers, settings.main_gpu, settings.split_mode, settings.tensor_split),
        batch_tokens=settings.batch_tokens,
        max_gap=settings.max_gap,
        prefix_store=settings.prefix_store,
        scoped_prefixes=settings.prefix_cache_per_caller,
        reproducible=settings.reproducible,
        verbose=settings.log_level == "DEBUG",
    )
    budget = settings.memory_budget or available_memory()
    memory = MemoryBudget(budget, settings.max_loaded_models, settings.queue_timeout, len(settings.models))
    return Policy(
        model_sources(settings),
        memory,
        engine,
        settings.queue_length,
        adapters=settings.adapters,
        matryoshka=settings.matryoshka_models or (),
        rpc_servers=rpc_servers(settings),
        load_on_request=settings.load_on_request,
        idle_unload=settings.idle_unload,
    )


def rpc_servers(settings: Settings) -> RpcServers | None:
    """Returns the servers that hold a part of a model, and the model; None without them."""
    if not settings.rpc_servers or settings.offloaded_model is None:
        return None
    return RpcServers(settings.offloaded_model, settings.rpc_servers)


def model_sources(settings: Settings) -> Sources:
    """Returns the model sources from the settings: local directory, hub and cache, with dtype and quantisation."""
    hub = HubOptions(settings.hub_environment, settings.download_timeout, settings.download_stall_timeout)
    quantisation = settings.isq_type if settings.enable_isq else None
    return Sources(settings.model_path, settings.cache_path, hub, settings.model_dtype, quantisation)
