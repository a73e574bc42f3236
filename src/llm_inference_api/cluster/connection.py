"""`Cluster`: this server's connection to a Ray cluster, and the reports of the replicas there."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from llm_inference_api.cluster.board import Board
from llm_inference_api.cluster.channel import Inbox
from llm_inference_api.cluster.deployment import Scale, application, application_name
from llm_inference_api.cluster.replica import ReplicaJob
from llm_inference_api.cluster.report import Report
from llm_inference_api.errors import StartError, UnavailableError
from llm_inference_api.shutdown import in_daemon_thread

_NAMESPACE = "llm-inference-api"
_SILENCE = 4.0
"""Seconds without an answer of the board after which the head is asked; the board answers each second."""
_HEAD_ANSWER = 2.0
"""Seconds in which the head must say then that it is there; else the cluster is lost."""
_ON_HEAD = {"node:__internal_head__": 0.001}
"""Share of a resource that Ray gives its head alone, as Ray Serve's controller has one: no other machine's end is
the board's."""
_RETRY = 0.5
"""Seconds between tries to reach the board."""
_TICK = 0.05
"""Seconds between looks at an application that is about to be deleted; Ray Serve's controller acts each 0.1 s."""
_ARRIVAL = 60.0
"""Seconds in which a cluster must take this server in, for which it may start processes on busy machines."""
_FAREWELL = 3.0
"""Seconds that disconnecting may take, which waits for a cluster that is lost."""
_LOST_RETRY = 10.0
"""Seconds after which a request may be sent again that came while the cluster did not answer."""
_STARTED = frozenset(
    {
        ApplicationStatus.NOT_STARTED,
        ApplicationStatus.DEPLOYING,
        ApplicationStatus.RUNNING,
        ApplicationStatus.UNHEALTHY,
    }
)
"""States of an application that has replicas, or will."""

Listener = Callable[[Report], None]

logger = logging.getLogger(__name__)


class Cluster:
    """Connection to a Ray cluster. Calls of Ray that block run in threads, one at a time."""

    def __init__(self, address: str) -> None:
        """Creates the connection, which `start` opens; `address` is as for `ray.init`."""
        self.is_lost = False
        """Whether the cluster does not answer."""
        self._address = address
        self._listeners: dict[str, Listener] = {}
        self._on_lost: list[Callable[[], None]] = []
        self._board: Any = None
        self._inbox: Inbox | None = None
        self._turn = threading.Lock()
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connects. Raises StartError if there is no cluster."""
        try:
            async with asyncio.timeout(_ARRIVAL):
                await self._blocking(self._connect)
                count, reports = await self._board.since.remote(None)
        except TimeoutError:
            raise self._unusable(f"no answer within {_ARRIVAL:g} s") from None
        _restore_signal_handlers()
        try:
            self._inbox = Inbox(ray.util.get_node_ip_address())
            await self._inbox.start()
        except OSError as error:
            raise self._unusable(f"no port can be opened for what replicas say: {error}") from error
        self._pass_on(reports)
        self._polling = asyncio.create_task(self._poll(count))

    async def close(self) -> None:
        """Disconnects. What the cluster serves stays there for other servers, and for the next start."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait({self._polling})
        if self._inbox is not None:
            await self._inbox.stop()
        try:
            async with asyncio.timeout(_FAREWELL):
                await in_daemon_thread(ray.shutdown, "cluster")
        except TimeoutError:
            logger.warning("the cluster does not answer; this server leaves without its answer")

    @property
    def inbox(self) -> Inbox:
        """What receives the replicas' answers."""
        assert self._inbox is not None
        return self._inbox

    def listen(self, model: str, listener: Listener, on_lost: Callable[[], None]) -> None:
        """Calls `listener` with each report on the model, and `on_lost` when the cluster does not answer."""
        self._listeners[model] = listener
        self._on_lost.append(on_lost)

    def check(self) -> None:
        """Raises UnavailableError if the cluster does not answer."""
        if self.is_lost:
            raise self.lost()

    def lost(self) -> UnavailableError:
        """Returns what callers are told while the cluster does not answer."""
        problem = "the Ray cluster that serves the models does not answer; is its head (LLM_CLUSTER) running?"
        return UnavailableError("CLUSTER_LOST", problem, _LOST_RETRY)

    async def handle(self, model: str) -> DeploymentHandle[Any]:
        """Returns a handle on the model's replicas. Raises UnavailableError if nothing is deployed."""
        self.check()
        return await self._blocking(partial(serve.get_app_handle, application_name(model)))

    async def deploy(self, job: ReplicaJob, scale: Scale, memory: int, *, replaces: bool) -> None:
        """Deploys the model where it is not; with `replaces`, anew, replica by replica."""
        self.check()
        await self._blocking(partial(self._deploy, job, scale, memory, replaces))

    async def delete(self, model: str) -> None:
        """Begins to end the model's replicas, each once its open requests have ended."""
        self.check()
        await self._blocking(partial(_delete, application_name(model)))

    def _connect(self) -> None:
        _take_over_logs()
        try:
            ray.init(
                address=self._address,
                namespace=_NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.WARNING,
            )
            serve.start(proxy_location="Disabled")
            self._board = (
                ray.remote(Board)
                .options(
                    name="board",
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=0,
                    resources=_ON_HEAD,
                    max_restarts=-1,
                )
                .remote()
            )
        except (ConnectionError, RuntimeError, ValueError, RayError) as error:
            raise self._unusable(str(error)) from error

    def _unusable(self, reason: str) -> StartError:
        problem = f"no Ray cluster can be used at {self._address!r} ({reason})"
        advice = "start one with `ray start --head`; RAY_AUTH_MODE and RAY_AUTH_TOKEN have to be the same"
        return StartError(f"LLM_CLUSTER: {problem}; {advice}")

    def _deploy(self, job: ReplicaJob, scale: Scale, memory: int, replaces: bool) -> None:  # noqa: FBT001
        name = application_name(job.reference.id)
        if _is_started(name) and not replaces:
            return
        target = serve.RunTarget(application(job, scale, memory, self._board), name=name, route_prefix=None)
        serve.run_many([target], wait_for_applications_running=False)

    async def _poll(self, count: int | None) -> None:
        """Passes reports on as they arrive, and notices when the cluster does not answer."""
        answered = asyncio.get_running_loop().time()
        while True:
            try:
                async with asyncio.timeout(_SILENCE / 2):
                    count, reports = await self._board.since.remote(count)
            except (TimeoutError, RayError) as error:
                if not self.is_lost and asyncio.get_running_loop().time() - answered > _SILENCE:
                    await self._ask_head(type(error).__name__)
                await asyncio.sleep(_RETRY)
                continue
            answered = asyncio.get_running_loop().time()
            if self.is_lost:
                self.is_lost, count = False, None
                logger.info("the cluster answers again")
                continue
            self._pass_on(reports)

    async def _ask_head(self, reason: str) -> None:
        """Takes the cluster for lost unless its head answers: a board that is started anew keeps nobody waiting."""
        try:
            async with asyncio.timeout(_HEAD_ANSWER):
                await in_daemon_thread(ray.cluster_resources, "cluster")
        except (TimeoutError, RayError, RuntimeError):
            logger.error("the cluster does not answer: %s", reason)  # noqa: TRY400
            self._lose()

    def _pass_on(self, reports: Sequence[Report]) -> None:
        for report in reports:
            if (listener := self._listeners.get(report.model)) is not None:
                listener(report)

    def _lose(self) -> None:
        self.is_lost = True
        for on_lost in self._on_lost:
            on_lost()

    async def _blocking(self, work: Callable[[], Any]) -> Any:
        def in_turn() -> Any:
            with self._turn:
                return work()

        return await in_daemon_thread(in_turn, "cluster")


def _is_started(name: str) -> bool:
    found = serve.status().applications.get(name)
    return found is not None and found.status in _STARTED


def _delete(name: str) -> None:
    """Returns once the application's status says that it is being deleted: a later deployment is another one."""
    serve.delete(name, _blocking=False)
    while _is_started(name):
        time.sleep(_TICK)


def _take_over_logs() -> None:
    """Has Ray's lines written as all others are; what it tells beside warnings is of no use to an operator."""
    for name in ("ray", "ray.serve"):
        ours = logging.getLogger(name)
        ours.handlers.clear()
        ours.propagate = True
        ours.setLevel(logging.WARNING)
    logging.getLogger("ray._private.worker").setLevel(logging.ERROR)  # It warns of being started in a thread.


def _restore_signal_handlers() -> None:
    """Gives the signals that end the service back to it: Ray writes a stack trace before it passes them on."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if (handler := signal.getsignal(number)) is not None:
            signal.signal(number, handler)
            signal.siginterrupt(number, False)
