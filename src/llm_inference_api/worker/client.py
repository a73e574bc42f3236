"""The server's side of one worker process: start it, send it requests, hand its answers to whoever waits for them.

The event loop neither computes nor blocks here: one thread reads the pipe and wakes the loop once a step, one writes.
"""

import asyncio
import itertools
import logging
import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from llm_inference_api.errors import ModelFailedError, OverloadedError, ServiceError, UnavailableError
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.inquiry import Embed, Embeddings, Findings, Inquiry
from llm_inference_api.requests.model_info import ModelInfo
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.requests.step import StepOutput, StepStats
from llm_inference_api.worker import start as worker_start
from llm_inference_api.worker.mailbox import Mailbox
from llm_inference_api.worker.messages import (
    Abandon,
    Answered,
    Cancel,
    Compute,
    FromWorker,
    Inquire,
    LastWords,
    LoadFailed,
    Loading,
    LogLine,
    Ready,
    Submit,
    ToWorker,
)

_KILL_WAIT = 5.0
"""Seconds that the system may take to end a killed process."""

_DURATION_WEIGHT = 0.2
"""Of the newest request in the moving average of durations."""
_LONGEST_RETRY = 30.0
"""Seconds."""

worker_logger = logging.getLogger("llm_inference_api.worker")


class EngineClient:
    """One worker process with one model. All methods belong to the event loop's thread."""

    def __init__(
        self,
        config: EngineConfig,
        queue_length: int,
        on_progress: Callable[[float], None],
        on_stats: Callable[[StepStats], None],
        on_exit: Callable[[str], None],
    ) -> None:
        """Takes callbacks for the part of the weights that is loaded, each step's figures, and the process's death.

        The last is told the cause; it is not called where the client closed the process itself.
        """
        self._config = config
        self._capacity = config.slots + queue_length
        self._on_progress = on_progress
        self._on_stats = on_stats
        self._on_exit = on_exit
        self._mailboxes: dict[str, Mailbox] = {}
        self._inquiries: dict[int, asyncio.Future[Any]] = {}
        self._embedding = 0
        self._next_inquiry = itertools.count()
        self._process: SpawnProcess | None = None
        self._writer = ThreadPoolExecutor(1, "worker-writer")
        self._ready: asyncio.Future[ModelInfo] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._closing = False
        self._last_words = ""
        self._last_message_at = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._request_seconds = 1.0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def pid(self) -> int | None:
        """The worker's process id, once it has one."""
        return self._process.pid if self._process else None

    @property
    def open_requests(self) -> tuple[GenerationRequest, ...]:
        """The requests that have not ended."""
        return tuple(mailbox.request for mailbox in self._mailboxes.values())

    async def start(self) -> ModelInfo:
        """Starts the process, and returns what is known of the model once it is loaded.

        Raises ModelFailedError where the model cannot be loaded, UnavailableError where the process died of it.
        """
        loop = asyncio.get_running_loop()
        self._process, self._connection = await loop.run_in_executor(self._writer, self._spawn)
        threading.Thread(target=self._read, args=(loop, self._process), name="worker-reader", daemon=True).start()
        return await asyncio.shield(self._ready)

    def submit(self, request: GenerationRequest, identity: Mapping[str, object]) -> Mailbox:
        """Returns where the request's answers arrive; `identity` is for log lines about it.

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
        self._last_message_at = max(self._last_message_at, mailbox.started_at if len(self._mailboxes) == 1 else 0.0)
        self._check_step_time()
        self._send(Submit(request))
        return mailbox

    def release(self, mailbox: Mailbox) -> None:
        """Forgets a request, and cancels it where it has not ended."""
        if mailbox.is_whole:
            self._observe_duration(time.monotonic() - mailbox.started_at)
        if not mailbox.ended and not self._gone.is_set():
            self._send(Cancel(mailbox.request.id))
        del self._mailboxes[mailbox.request.id]
        if not self._mailboxes:
            self._cancel_watchdog()
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
        found: Findings = await self._ask(inquiry)
        return found

    async def embed(self, embed: Embed) -> Embeddings:
        """As `inquire`, for embeddings. Raises OverloadedError where too many such requests are open."""
        if self._embedding >= self._capacity:
            problem = f"{self._embedding} requests for embeddings are open for this model, which is its limit"
            raise OverloadedError(problem, self._retry_after())
        self._embedding += 1
        try:
            found: Embeddings = await self._ask(embed)
        finally:
            self._embedding -= 1
        return found

    async def _ask(self, inquiry: Inquiry | Embed) -> Any:
        if self._gone.is_set():
            raise UnavailableError("WORKER_DIED", "the model's process ended; it is being restarted")
        inquiry_id = next(self._next_inquiry)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._inquiries[inquiry_id] = future
        self._idle.clear()
        self._send(Compute(inquiry_id, inquiry) if isinstance(inquiry, Embed) else Inquire(inquiry_id, inquiry))
        try:
            return await future
        finally:
            if isinstance(inquiry, Embed) and future.cancelled() and not self._gone.is_set():
                self._send(Abandon(inquiry_id))
            del self._inquiries[inquiry_id]
            self._note_idle()

    async def drain(self) -> None:
        """Returns when no request or inquiry is open."""
        await self._idle.wait()

    async def close(self) -> None:
        """Ends the process, if there is one; open requests fail."""
        self._closing = True
        if self._process is None:
            return
        self._process.kill()
        await asyncio.wait_for(self._gone.wait(), _KILL_WAIT)

    def _spawn(self) -> tuple[SpawnProcess, Connection]:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=worker_start.run, args=(theirs, self._config), name="worker", daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _read(self, loop: asyncio.AbstractEventLoop, process: SpawnProcess) -> None:
        """Runs in a thread of its own until the worker is gone."""
        with suppress(RuntimeError):  # The loop has ended: nobody is left to tell.
            with suppress(EOFError, OSError):
                while True:
                    loop.call_soon_threadsafe(self._handle, self._connection.recv())
            process.join()
            loop.call_soon_threadsafe(self._handle_exit, process.exitcode)

    def _handle(self, message: FromWorker) -> None:
        self._last_message_at = time.monotonic()
        match message:
            case StepOutput():
                self._fan_out(message)
            case Answered(inquiry_id, findings):
                self._settle(inquiry_id, findings)
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

    def _settle(self, inquiry_id: int, findings: Findings | Embeddings | ServiceError) -> None:
        future = self._inquiries.get(inquiry_id)
        if future is None or future.done():
            return
        if isinstance(findings, ServiceError):
            future.set_exception(findings)
        else:
            future.set_result(findings)

    def _handle_exit(self, exit_code: int | None) -> None:
        self._connection.close()
        self._writer.shutdown(wait=False)
        self._cancel_watchdog()
        ending = _describe_exit(exit_code)
        error = self._describe_end(ending)
        self._gone.set()
        if not self._ready.done():
            self._cannot_load(f"its process ended ({ending})")
        elif not self._closing:
            self._on_exit(_joined(f"its process ended ({ending})", self._last_words))
        for mailbox in self._mailboxes.values():
            mailbox.fail(error)
        for inquiry_id in list(self._inquiries):
            self._settle(inquiry_id, error)

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

    def _check_step_time(self) -> None:
        """Kills a worker that owes answers and is silent for too long; else looks again when that may be."""
        self._cancel_watchdog()
        left = self._last_message_at + self._config.step_timeout - time.monotonic()
        if left > 0:
            self._watchdog = asyncio.get_running_loop().call_later(left, self._check_step_time)
        else:
            self._last_words = f"no step ended within {self._config.step_timeout:g} s"
            if self._process is not None:
                self._process.kill()

    def _cancel_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _observe_duration(self, seconds: float) -> None:
        self._request_seconds += _DURATION_WEIGHT * (seconds - self._request_seconds)

    def _retry_after(self) -> float:
        """Returns the seconds after which one of the running requests has probably ended."""
        return min(max(self._request_seconds / self._config.slots, 1.0), _LONGEST_RETRY)

    def _without_path(self, text: str) -> str:
        return text.replace(str(self._config.model_path), self._config.model_path.name)

    def _send(self, message: ToWorker) -> None:
        self._writer.submit(self._write, message)

    def _write(self, message: ToWorker) -> None:
        with suppress(OSError):  # The reader sees the end of the worker too, and says so.
            self._connection.send(message)


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by signal {-code}" + (", for lack of memory or by hand" if code == -9 else "")
    return f"exit code {code}"


def _joined(what: str, detail: str) -> str:
    return f"{what}; last said: {detail}" if detail else what
