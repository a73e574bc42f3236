"""Client of one worker process: starts it, sends it requests and routes its messages to the requests' mailboxes."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from llm_inference_api.errors import (
    FORWARD_FAILED,
    RPC_SERVER_LOST,
    WORKER_DIED,
    ModelFailedError,
    OverloadedError,
    ServiceError,
    UnavailableError,
)
from llm_inference_api.processes.child import ChildProcess, Target
from llm_inference_api.processes.running_time import running_time
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed, Embeddings, Found, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import Delta, StepOutput, StepStats
from llm_inference_api.worker import start as worker_start
from llm_inference_api.worker.at_work import AtWork, Key, Work
from llm_inference_api.worker.inquiries import OpenInquiries
from llm_inference_api.worker.mailbox import Mailbox
from llm_inference_api.worker.messages import (
    Answered,
    Cancel,
    FromWorker,
    Lane,
    LastWords,
    LoadFailed,
    Loading,
    LogLine,
    Ready,
    Submit,
    ToWorker,
)
from llm_inference_api.worker.watchdog import Watchdog

_DURATION_WEIGHT = 0.2
"""Weight of the newest request in the moving average of request durations."""
_LONGEST_RETRY = 30.0
"""Upper bound, in seconds, of the retry delay that an OverloadedError suggests."""

worker_logger = logging.getLogger("llm_inference_api.worker")


class WorkerClient:
    """Handle on one worker process with one model. Not thread-safe: call all methods on the event loop's thread."""

    def __init__(  # noqa: PLR0913 - tests alone name another target
        self,
        config: EngineConfig,
        queue_length: int,
        on_progress: Callable[[float], None],
        on_stats: Callable[[StepStats], None],
        on_exit: Callable[[str], None],
        *,
        on_failed_step: Callable[[tuple[Work, ...]], None] = lambda _: None,
        target: Target = worker_start.run,
    ) -> None:
        """Creates the client; the process is started by `start`.

        Args:
            config: Settings of the worker's engine.
            queue_length: Answers that may wait beyond those that run in slots.
            on_progress: Called while loading, with the loaded fraction of the weights, 0 to 1.
            on_stats: Called with the statistics of each step.
            on_exit: Called with the cause if the process exits after `start` has returned, unless `close` was called.
            on_failed_step: Called with the requests of a step that failed but did not end the process.
            target: Entry point of the process.
        """
        self._config = config
        self._capacity = config.slots + queue_length
        self._on_progress = on_progress
        self._on_stats = on_stats
        self._on_exit = on_exit
        self._on_failed_step = on_failed_step
        self._mailboxes: dict[str, Mailbox] = {}
        """Requests that the worker has not ended, whoever has yet to read what it sent."""
        self._at_work = AtWork(self._find)
        self._inquiries = OpenInquiries(self._send)
        self._child = ChildProcess(target, config, "worker", self._handle, self._handle_exit)
        self._watchdog = Watchdog(_bounds(config), self._child.kill, asyncio.get_running_loop())
        self._ready: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._gone = self._child.gone
        self._serving = False
        self._closing = False
        self._last_words = ""
        self.lost_server = False
        """Whether the process ended since an RPC server was lost."""
        self.retry_after = 1.0
        """Seconds after which callers whose request is lost with the process may try again; `on_exit` may set it."""
        self._request_seconds = 1.0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None before it is started."""
        return self._child.pid

    @property
    def at_work(self) -> tuple[Work, ...]:
        """What the process computes, or computed when it ended: what a crash may be due to. Others only waited.

        Where the watchdog ended the process, only what the hung lane computed.
        """
        hung = self._watchdog.hung
        return tuple(self._at_work) if hung is None else self._at_work.in_lane(hung)

    async def start(self) -> ModelInfo:
        """Starts the process, waits until the model is loaded and returns the model's properties.

        Raises:
            ModelFailedError: The model cannot be loaded, or the process exited or hung during the load.
            UnavailableError: The process exited right after the load.
        """
        self._watchdog.started()
        await self._child.start()
        info = await asyncio.shield(self._ready)
        if self._gone.is_set():
            raise self._describe_end("just after it was loaded")
        self._serving = True
        return info

    def submit(self, request: GenerationRequest, identity: Mapping[str, object]) -> Mailbox:
        """Sends a request to the worker and returns the mailbox that receives its deltas.

        Args:
            request: The request; its id must not be in use.
            identity: Fields added to log records about the request.

        Raises:
            OverloadedError: The request's answers would exceed the slots and the queue.
            UnavailableError: The process has exited.
        """
        if self._gone.is_set():
            raise self._describe_end("just now")
        if (count := self._open_answers(request)) + request.n > self._capacity:
            problem = f"{count} requests are running or waiting for this model, which is its limit"
            if count < self._capacity:
                problem = f"{count} of {self._capacity} requests are running or waiting for this model; n is too many"
            raise OverloadedError(problem, self._retry_after())
        mailbox = self._mailboxes[request.id] = Mailbox(request, identity)
        self._idle.clear()
        self._send(Submit(request))
        if request.is_background:
            return mailbox  # It waits for as long as others come.
        mailbox.queue_until(running_time().call_later(self._config.queue_timeout, partial(self._expire, mailbox)))
        return mailbox

    def close_request(self, mailbox: Mailbox) -> None:
        """Removes a request; cancels it in the worker if it has not ended."""
        if mailbox.ended:
            return
        if not self._gone.is_set():
            self._send(Cancel(mailbox.request.id))
        self._end(mailbox)

    def _open_answers(self, request: GenerationRequest) -> int:
        """Returns the answers that the worker owes to requests of this kind; the others take no place from it."""
        mailboxes = self._mailboxes.values()
        return sum(box.running for box in mailboxes if box.request.is_background is request.is_background)

    @property
    def idle(self) -> bool:
        """Whether the worker owes nothing: no answer, inquiry or embedding. It may not all be read yet."""
        return self._idle.is_set()

    async def inquire(self, inquiry: Inquiry, caller: str = "") -> Found:
        """Returns the worker's answer to a caller's inquiry.

        Raises:
            ServiceError: The worker refused the inquiry.
            UnavailableError: The process has exited.
        """
        with self._busy():
            return await self._inquiries.find(inquiry, caller)

    async def embed(self, embed: Embed) -> Embeddings:
        """Returns the embeddings of the inputs.

        Raises:
            OverloadedError: Too many requests for embeddings are open.
            ServiceError: The worker refused the inputs.
            UnavailableError: The process has exited.
        """
        if not embed.is_background:
            self._check_errands("requests for embeddings")
        with self._busy():
            return await self._inquiries.embed(embed)

    async def rank(self, rank: Rank) -> Relevances:
        """Returns the relevance of the documents, in their order. Raises as `embed`."""
        self._check_errands("requests to rank")
        with self._busy():
            return await self._inquiries.rank(rank)

    async def classify(self, classify: Classify) -> Classes:
        """Returns how probable the labels of the model's head are. Raises as `embed`."""
        self._check_errands("requests to classify")
        with self._busy():
            return await self._inquiries.classify(classify)

    def _check_errands(self, what: str) -> None:
        if (count := self._inquiries.embedding) >= self._capacity:
            raise OverloadedError(f"{count} {what} are open for this model, which is its limit", self._retry_after())

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Marks the worker as busy within the block. Raises UnavailableError if the process has exited."""
        if self._gone.is_set():
            raise self._describe_end("just now")
        self._idle.clear()
        try:
            yield
        finally:
            self._note_idle()

    async def drain(self) -> None:
        """Waits until the worker owes nothing, see `idle`."""
        await self._idle.wait()

    async def close(self) -> None:
        """Kills the process, if it was started; open requests fail with UnavailableError."""
        self._closing = True
        self._watchdog.close()
        await self._child.close()

    def _handle(self, message: FromWorker) -> None:
        self._watchdog.received(message)
        self._at_work.received(message)
        match message:
            case StepOutput():
                self._fan_out(message)
            case Answered():
                self._inquiries.settle(message)
            case LogLine(level, text, request_id):
                self._log(level, text, request_id)
                if level >= logging.ERROR:
                    self._last_words = self._without_path(text)
            case Loading(fraction):
                self._on_progress(fraction)
            case Ready(info):
                self._ready.set_result(info)
            case LoadFailed(reason):
                self._cannot_load(self._without_path(reason))
            case LastWords(text, lost_server):
                self._last_words = self._without_path(text)
                self.lost_server = lost_server

    def _log(self, level: int, text: str, request_id: str) -> None:
        mailbox = self._mailboxes.get(request_id)
        worker_logger.log(level, "%s", text, extra={"fields": mailbox.identity} if mailbox else None)

    def _find(self, key: Key) -> Work | None:
        if isinstance(key, int):
            return self._inquiries.get(key)
        mailbox = self._mailboxes.get(key)
        return mailbox.request if mailbox else None

    def _expire(self, mailbox: Mailbox) -> None:
        """Refuses a request of which no answer was admitted within the queue timeout."""
        if mailbox.is_queued:
            seconds = self._config.queue_timeout
            self._send(Cancel(mailbox.request.id))
            self._fail(mailbox, OverloadedError(f"no slot was free within {seconds:g} s", seconds))

    def _fan_out(self, output: StepOutput) -> None:
        self._report_failed_step(output)
        for entry in output.entries:
            if mailbox := self._mailboxes.get(entry.request_id):
                mailbox.enter(entry)
        for request_id, progress in output.progress:  # Before the deltas: what they begin with was computed by then.
            if mailbox := self._mailboxes.get(request_id):
                mailbox.report(progress)
        for delta in output.deltas:
            if mailbox := self._mailboxes.get(delta.request_id):
                self._deliver(mailbox, delta)
        for rejection in output.rejections:
            if mailbox := self._mailboxes.get(rejection.request_id):
                self._fail(mailbox, rejection.error)
        if not output.stats.running:
            self._at_work.idle()
        self._on_stats(output.stats)

    def _deliver(self, mailbox: Mailbox, delta: Delta) -> None:
        mailbox.put(delta)
        if mailbox.ended:
            self._observe_duration(time.monotonic() - mailbox.started_at)
            self._end(mailbox)

    def _report_failed_step(self, output: StepOutput) -> None:
        if any(rejection.error.reason == FORWARD_FAILED for rejection in output.rejections):
            self._on_failed_step(self._at_work.in_lane(Lane.STEPS))

    def _fail(self, mailbox: Mailbox, error: ServiceError) -> None:
        mailbox.fail(error)
        self._end(mailbox)

    def _end(self, mailbox: Mailbox) -> None:
        """Forgets a request that the worker has ended, or that is cancelled."""
        del self._mailboxes[mailbox.request.id]
        mailbox.close()
        if mailbox.ended:
            self._at_work.ended(mailbox.request.id)
        self._note_idle()

    def _handle_exit(self, ending: str) -> None:
        self._watchdog.close()
        if not self._ready.done():
            self._cannot_load(_joined(f"its process ended ({ending})", self._last_words))
        elif self._serving and not self._closing:
            self._on_exit(_joined(f"its process ended ({ending})", self._last_words))
        for mailbox in list(self._mailboxes.values()):
            self._fail(mailbox, self._describe_end(ending))
        self._inquiries.fail(self._describe_end(ending))

    def _cannot_load(self, reason: str) -> None:
        self._ready.set_exception(self._describe_lost_server() if self.lost_server else ModelFailedError(reason))
        self._ready.exception()  # Marks it as retrieved: without an awaiter, asyncio would log an unhandled exception.

    def _describe_end(self, ending: str) -> UnavailableError:
        if self._closing:
            return UnavailableError("DRAINING", "the service is stopping")
        if self.lost_server:
            return self._describe_lost_server()
        problem = f"the model's process ended ({ending}); it is being restarted"
        return UnavailableError(WORKER_DIED, problem, self.retry_after)

    def _describe_lost_server(self) -> UnavailableError:
        problem = "a server that holds a part of the model is gone; the model is loaded again as soon as it answers"
        return UnavailableError(RPC_SERVER_LOST, problem, self.retry_after)

    def _note_idle(self) -> None:
        if not self._mailboxes and not self._inquiries:
            self._idle.set()

    def _observe_duration(self, seconds: float) -> None:
        self._request_seconds += _DURATION_WEIGHT * (seconds - self._request_seconds)

    def _retry_after(self) -> float:
        """Returns the expected seconds until a slot is free, clamped to 1 … `_LONGEST_RETRY`."""
        return min(max(self._request_seconds / self._config.slots, 1.0), _LONGEST_RETRY)

    def _without_path(self, text: str) -> str:
        """Returns the text without the model's directory, where all parts of a split model are."""
        return text.replace(f"{self._config.model_path.parent}{os.sep}", "")

    def _send(self, message: ToWorker) -> None:
        self._watchdog.sent(message)
        self._child.send(message)


def _bounds(config: EngineConfig) -> Mapping[Lane, float]:
    """Returns the watchdog's timeout of each lane, in seconds."""
    bounds = dict.fromkeys(Lane, config.step_timeout)
    bounds[Lane.LOADING] = max(config.load_timeout, config.step_timeout)
    return bounds


def _joined(what: str, detail: str) -> str:
    return f"{what}; last message: {detail}" if detail and detail not in what else what
