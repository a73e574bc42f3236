"""Worker process: loads one model and serves it over a pipe.

Four threads, connected by queues: the main thread receives messages, the preparer tokenizes, the engine computes, and
the embedder computes embeddings. An idle engine blocks in `Queue.get`; a busy one polls without waiting. The engine's
state belongs to its thread.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import TypeVar

from llm_inference_api.backends.llama import backend as llama
from llm_inference_api.engine.embedder import Embedder, Errands
from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.errors import ComputationError, ModelFailedError, ServiceError
from llm_inference_api.processes.parent import Parent
from llm_inference_api.processes.throttle import Throttle
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.events import Stage
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker.inspector import Inspector
from llm_inference_api.worker.messages import (
    LOG_LEVELS,
    Abandon,
    Answered,
    Cancel,
    Compute,
    Inquire,
    Lane,
    LastWords,
    LoadFailed,
    Loading,
    LogLine,
    Prepared,
    Ready,
    Submit,
    ToWorker,
)
from llm_inference_api.worker.parts import build
from llm_inference_api.worker.preparer import Preparer
from llm_inference_api.worker.pulse import Pulse
from llm_inference_api.worker.resident_memory import ResidentMemory

STACK_BYTES = 512 << 20
"""Stack size of the threads that call llama.cpp, whose tokenizers recurse on long runs of one character. The kernel
allocates pages on first use only."""
_LOADING_STEP = 0.01
"""Load progress is reported whenever it grows by this fraction …"""
_LOADING_INTERVAL = 1.0
"""… or after this many seconds, whichever comes first."""
REQUEST_ID = "request_id"
"""Attribute of log records: id of the request that the record is about."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Announced:
    """To the engine: a request is being prepared."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Admissible:
    """To the engine: a request was prepared, one sequence per answer."""

    request_id: str
    sequences: tuple[Sequence, ...]


@dataclass(frozen=True, slots=True)
class Inadmissible:
    """To the engine: a request could not be prepared."""

    request_id: str
    error: ServiceError


class Requests:
    """FIFO of requests and inquiries to prepare; cancelled requests are skipped."""

    def __init__(self, on_skip: Callable[[str], None]) -> None:
        """Takes a callback that gets the id of each skipped request."""
        self._on_skip = on_skip
        self._queue: SimpleQueue[GenerationRequest | Inquire] = SimpleQueue()
        self._waiting: set[str] = set()

    def put(self, message: GenerationRequest | Inquire) -> None:
        """Adds a request or an inquiry."""
        if isinstance(message, GenerationRequest):
            self._waiting.add(message.id)
        self._queue.put(message)

    def cancel(self, request_id: str) -> None:
        """Marks the request as cancelled; has no effect if it is not in the queue."""
        self._waiting.discard(request_id)

    def get(self) -> GenerationRequest | Inquire:
        """Waits for and returns the next inquiry or request that is not cancelled."""
        while True:
            message = self._queue.get()
            if isinstance(message, Inquire):
                return message
            if message.id in self._waiting:
                self._waiting.discard(message.id)
                return message
            self._on_skip(message.id)


Inbox = SimpleQueue[Announced | Admissible | Inadmissible | Cancel]


def run(connection: Connection, config: EngineConfig) -> None:
    """Loads the model and serves it. The process exits when the server closes the connection."""
    parent = Parent(connection)
    os.environ["GGML_NO_BACKTRACE"] = "1"  # On a failed check, do not fork a debugger.
    threading.stack_size(STACK_BYTES)
    _report_log(parent)
    inbox: Inbox = SimpleQueue()
    requests = Requests(lambda request_id: parent.send(Prepared(request_id)))
    errands = Errands()
    arguments = (config, inbox, requests, errands, parent)
    threading.Thread(target=_serve, args=arguments, name="engine", daemon=True).start()
    _receive(parent, inbox, requests, errands)


logger = logging.getLogger(__name__)


class ParentHandler(logging.Handler):
    """Sends the worker's own log records to the server, which formats them with its own."""

    def __init__(self, parent: Parent) -> None:
        super().__init__()
        self._parent = parent

    def emit(self, record: logging.LogRecord) -> None:
        """Sends the record as one line."""
        self._parent.send(LogLine(record.levelno, self.format(record), getattr(record, REQUEST_ID, "")))


def _report_log(parent: Parent) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[ParentHandler(parent)], force=True)
    llama.route_log(lambda level, text: parent.send(LogLine(_log_level(level, text), text)))
    llama.on_abort(lambda text: parent.send(LastWords(text)))


def _log_level(level: int, text: str) -> int:
    # Harmless: the KV cache is shared by all sequences, so it may be larger than the training context.
    return logging.DEBUG if "possible training context overflow" in text else LOG_LEVELS.get(level, logging.DEBUG)


def _receive(parent: Parent, inbox: Inbox, requests: Requests, errands: Errands) -> None:
    while True:
        message: ToWorker = parent.receive()
        match message:
            case Submit(request):
                inbox.put(Announced(request.id))
                requests.put(request)
            case Compute(inquiry_id, embed):
                errands.put(inquiry_id, embed)
            case Inquire():
                requests.put(message)
            case Abandon(inquiry_id):
                errands.forget(inquiry_id)
            case Cancel(request_id):
                requests.cancel(request_id)
                inbox.put(message)


def _serve(config: EngineConfig, inbox: Inbox, requests: Requests, errands: Errands, parent: Parent) -> None:
    try:
        parts = build(config, _report_progress(parent))
        arguments = (parts.preparer, parts.inspector, requests, inbox, parent)
        threading.Thread(target=_prepare, args=arguments, name="preparer", daemon=True).start()
        if parts.embedder is not None:
            pulse = Pulse(Lane.EMBEDDINGS, config.step_timeout, parent.send)
            run = (parts.embedder, errands, pulse, parent)
            threading.Thread(target=_embed, args=run, name="embedder", daemon=True).start()
        parent.send(Ready(parts.info))
        if parts.engine is not None:
            EngineLoop(parts.engine, inbox, parent).run()
    except ModelFailedError as error:
        parent.send(LoadFailed(str(error)))
        os._exit(1)
    except BaseException as error:
        logger.exception("the engine failed")
        parent.send(LastWords(f"{type(error).__name__}: {error}"))
        os._exit(1)


def _report_progress(parent: Parent) -> Callable[[float], None]:
    reported = 0.0
    throttle = Throttle(_LOADING_INTERVAL)

    def report(fraction: float) -> None:
        nonlocal reported
        if fraction - reported >= _LOADING_STEP or throttle.passes():
            reported = fraction
            parent.send(Loading(fraction))

    return report


def _prepare(preparer: Preparer, inspector: Inspector, requests: Requests, inbox: Inbox, parent: Parent) -> None:
    while True:
        match requests.get():
            case Inquire(inquiry_id, inquiry):
                parent.send(Answered(inquiry_id, _attempt(inspector.answer, inquiry, "an inquiry")))
            case request:
                outcome = _attempt(preparer.prepare, request, f"request {request.id}", request.id)
                parent.send(Prepared(request.id))  # Must precede any step output that has this request.
                if isinstance(outcome, ServiceError):
                    inbox.put(Inadmissible(request.id, outcome))
                else:
                    inbox.put(Admissible(request.id, outcome))


def _embed(embedder: Embedder, errands: Errands, pulse: Pulse, parent: Parent) -> None:
    while True:
        errand_id, embed = errands.get()
        work = partial(embedder.answer, check=partial(_go_on, errands, errand_id, pulse))
        parent.send(Answered(errand_id, _attempt(work, embed, "embeddings")))
        errands.forget(errand_id)


def _go_on(errands: Errands, errand_id: int, pulse: Pulse) -> None:
    """Sends a heartbeat of the embedder. Raises AbandonedError if the request was abandoned."""
    pulse.beat()
    errands.check(errand_id)


def _attempt(work: Callable[[Item], Outcome], item: Item, what: str, request_id: str = "") -> Outcome | ServiceError:
    """Returns the result of `work(item)`, or its ServiceError; any other exception becomes a ComputationError."""
    try:
        return work(item)
    except ServiceError as error:
        return error
    except Exception:
        logger.exception("preparing %s failed", what, extra={REQUEST_ID: request_id})
        return ComputationError("the request could not be prepared")


class EngineLoop:
    """Main loop of the engine's thread: takes messages from the inbox, runs steps and sends their output."""

    def __init__(self, engine: Engine, inbox: Inbox, parent: Parent) -> None:
        self._engine = engine
        self._inbox = inbox
        self._parent = parent
        self._preparing: set[str] = set()
        self._resident_memory = ResidentMemory()

    def run(self) -> None:
        """Runs steps while there is work, and blocks on the inbox while there is none. Never returns."""
        while True:
            self._drain()
            output = self._engine.step()
            stats = output.stats._replace(resident_bytes=self._resident_memory.bytes())
            self._parent.send(output._replace(stats=stats))

    def _drain(self) -> None:
        while not self._engine.busy:
            self._handle(self._inbox.get())
        while True:
            try:
                self._handle(self._inbox.get_nowait())
            except Empty:
                return

    def _handle(self, message: Announced | Admissible | Inadmissible | Cancel) -> None:
        match message:
            case Announced(request_id):
                self._preparing.add(request_id)
            case Cancel(request_id) if request_id in self._preparing:
                self._preparing.discard(request_id)
                self._engine.count_cancelled(Stage.QUEUED)
            case Cancel(request_id):
                self._engine.cancel(request_id)
            case Inadmissible(request_id, error):
                if self._arrives(request_id):
                    self._engine.reject(request_id, error)
            case Admissible(request_id, sequences):
                submit = self._engine.submit if self._arrives(request_id) else _discard
                for sequence in sequences:
                    submit(sequence)

    def _arrives(self, request_id: str) -> bool:
        """Ends the preparation of a request; returns False if it was cancelled meanwhile."""
        wanted = request_id in self._preparing
        self._preparing.discard(request_id)
        return wanted


def _discard(sequence: Sequence) -> None:
    sequence.sampler.close()
