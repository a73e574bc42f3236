"""The server's side of one worker process: start it, send it requests, hand its answers to whoever waits for them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from llm_inference_api.errors import ModelFailedError, OverloadedError, UnavailableError
from llm_inference_api.processes.child import ChildProcess, Target
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepOutput, StepStats
from llm_inference_api.worker import start as worker_start
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
"""Of the newest request in the moving average of durations."""
_LONGEST_RETRY = 30.0
"""Seconds."""

worker_logger = logging.getLogger("llm_inference_api.worker")


class WorkerClient:
    """One worker process with one model. All methods belong to the event loop's thread."""

    def __init__(  # noqa: PLR0913 - tests alone name another target
        self,
        config: EngineConfig,
        queue_length: int,
        on_progress: Callable[[float], None],
        on_stats: Callable[[StepStats], None],
        on_exit: Callable[[str], None],
        *,
        target: Target = worker_start.run,
    ) -> None:
        """Takes callbacks for the part of the weights that is loaded, each step's figures, and the process's death.

        The last is told the cause; it is called after `start` has returned, and not where the client closed the process
        itself.
        """
        self._config = config
        self._capacity = config.slots + queue_length
        self._on_progress = on_progress
        self._on_stats = on_stats
        self._on_exit = on_exit
        self._mailboxes: dict[str, Mailbox] = {}
        self._inquiries = OpenInquiries(self._send)
        self._child = ChildProcess(target, config, "worker", self._handle, self._handle_exit)
        self._watchdog = Watchdog(_bounds(config), self._child.kill, asyncio.get_running_loop())
        self._ready: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._gone = self._child.gone
        self._serving = False
        self._closing = False
        self._last_words = ""
        self._request_seconds = 1.0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pid(self) -> int | None:
        """The worker's process id, once it has one."""
        return self._child.pid

    @property
    def open_requests(self) -> tuple[GenerationRequest, ...]:
        """The requests that have not ended."""
        return tuple(mailbox.request for mailbox in self._mailboxes.values())

    async def start(self) -> ModelInfo:
        """Starts the process, and returns what is known of the model once it is loaded.

        Raises ModelFailedError where the model cannot be loaded, or the process died of it or hung; UnavailableError
        where the process died just after it.
        """
        self._watchdog.started()
        await self._child.start()
        info = await asyncio.shield(self._ready)
        if self._gone.is_set():
            raise self._describe_end("just after it was loaded")
        self._serving = True
        return info

    def submit(self, request: GenerationRequest, identity: Mapping[str, object]) -> Mailbox:
        """Returns the mailbox of the request's answers; `identity` has the named values of log lines about it.

        Raises OverloadedError where too many answers are open, UnavailableError where the process has ended.
        """
        if self._gone.is_set():
            raise self._describe_end("just now")
        if (count := self._open_answers) + request.n > self._capacity:
            problem = f"{count} requests are running or waiting for this model, which is its limit"
            if count < self._capacity:
                problem = f"{count} of {self._capacity} requests are running or waiting for this model; n is too many"
            raise OverloadedError(problem, self._retry_after())
        mailbox = self._mailboxes[request.id] = Mailbox(request, identity)
        self._idle.clear()
        self._send(Submit(request))
        return mailbox

    def release(self, mailbox: Mailbox) -> None:
        """Forgets a request, and cancels it where it has not ended."""
        if mailbox.is_whole:
            self._observe_duration(time.monotonic() - mailbox.started_at)
        if not mailbox.ended and not self._gone.is_set():
            self._send(Cancel(mailbox.request.id))
        del self._mailboxes[mailbox.request.id]
        self._note_idle()

    @property
    def _open_answers(self) -> int:
        return sum(mailbox.request.n for mailbox in self._mailboxes.values())

    @property
    def idle(self) -> bool:
        """Whether the worker has nothing to do."""
        return self._idle.is_set()

    async def inquire(self, inquiry: Inquiry) -> Findings:
        """Returns what the worker finds. Raises what it says of an inquiry without sense, or UnavailableError."""
        with self._busy():
            return await self._inquiries.find(inquiry)

    async def embed(self, embed: Embed) -> Embeddings:
        """As `inquire`, for embeddings. Raises OverloadedError where too many such requests are open."""
        if self._inquiries.embedding >= self._capacity:
            problem = f"{self._inquiries.embedding} requests for embeddings are open for this model, which is its limit"
            raise OverloadedError(problem, self._retry_after())
        with self._busy():
            return await self._inquiries.embed(embed)

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Lets the worker count as busy. Raises UnavailableError where it is gone."""
        if self._gone.is_set():
            raise UnavailableError("WORKER_DIED", "the model's process ended; it is being restarted")
        self._idle.clear()
        try:
            yield
        finally:
            self._note_idle()

    async def drain(self) -> None:
        """Returns when no request or inquiry is open."""
        await self._idle.wait()

    async def close(self) -> None:
        """Ends the process, if there is one; open requests fail."""
        self._closing = True
        self._watchdog.close()
        await self._child.close()

    def _handle(self, message: FromWorker) -> None:
        self._watchdog.received(message)
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
                self._cannot_load(reason)
            case LastWords(text):
                self._last_words = self._without_path(text)

    def _log(self, level: int, text: str, request_id: str) -> None:
        mailbox = self._mailboxes.get(request_id)
        worker_logger.log(level, "%s", text, extra={"fields": mailbox.identity} if mailbox else None)

    def _fan_out(self, output: StepOutput) -> None:
        for entry in output.entries:
            if mailbox := self._mailboxes.get(entry.request_id):
                mailbox.enter(entry)
        for delta in output.deltas:
            if mailbox := self._mailboxes.get(delta.request_id):
                mailbox.put(delta)
        for rejection in output.rejections:
            if mailbox := self._mailboxes.get(rejection.request_id):
                mailbox.fail(rejection.error)
        for request_id, progress in output.progress:
            if mailbox := self._mailboxes.get(request_id):
                mailbox.progress = progress
        self._on_stats(output.stats)

    def _handle_exit(self, ending: str) -> None:
        self._watchdog.close()
        error = self._describe_end(ending)
        if not self._ready.done():
            self._cannot_load(f"its process ended ({ending})")
        elif self._serving and not self._closing:
            self._on_exit(_joined(f"its process ended ({ending})", self._last_words))
        for mailbox in self._mailboxes.values():
            mailbox.fail(error)
        self._inquiries.fail(error)

    def _cannot_load(self, reason: str) -> None:
        self._ready.set_exception(ModelFailedError(_joined(reason, self._last_words)))
        self._ready.exception()  # Nobody may be left to be told: asyncio would complain of that.

    def _describe_end(self, ending: str) -> UnavailableError:
        if self._closing:
            return UnavailableError("DRAINING", "the service is stopping")
        return UnavailableError("WORKER_DIED", f"the model's process ended ({ending}); it is being restarted")

    def _note_idle(self) -> None:
        if not self._mailboxes and not self._inquiries:
            self._idle.set()

    def _observe_duration(self, seconds: float) -> None:
        self._request_seconds += _DURATION_WEIGHT * (seconds - self._request_seconds)

    def _retry_after(self) -> float:
        """Returns the seconds after which one of the running requests has probably ended."""
        return min(max(self._request_seconds / self._config.slots, 1.0), _LONGEST_RETRY)

    def _without_path(self, text: str) -> str:
        return text.replace(str(self._config.model_path), self._config.model_path.name)

    def _send(self, message: ToWorker) -> None:
        self._watchdog.sent(message)
        self._child.send(message)


def _bounds(config: EngineConfig) -> Mapping[Lane, float]:
    """Returns the seconds for which each lane may be silent while it owes something."""
    bounds = dict.fromkeys(Lane, config.step_timeout)
    bounds[Lane.LOADING] = max(config.load_timeout, config.step_timeout)
    return bounds


def _joined(what: str, detail: str) -> str:
    return f"{what}; last said: {detail}" if detail else what
