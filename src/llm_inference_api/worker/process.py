"""The process that runs one model.

The main thread receives, one prepares requests, one computes, and one computes embeddings beside it. What goes from
one to the next goes through a queue, so that an idle engine sleeps in a `get` and a busy one never waits. The engine's
state belongs to its thread.
"""

import logging
import os
import signal
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
from llm_inference_api.requests.answer import Stage
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.request import GenerationRequest
from llm_inference_api.worker.inspector import Inspector
from llm_inference_api.worker.messages import (
    LOG_LEVELS,
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
from llm_inference_api.worker.parts import build
from llm_inference_api.worker.preparer import Preparer
from llm_inference_api.worker.residency import Residency

STACK_BYTES = 512 << 20
"""Of the threads that call llama.cpp. Its tokenizers recurse on long runs of one character; the system gives memory for
the pages that are touched only."""
_LOADING_STEP = 0.01
REQUEST_ID = "request_id"
"""Name of the record attribute with the id of the request that a log line is about."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Arrived:
    """To the engine: a request is being prepared."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """To the engine: a request can be computed, one sequence for each of its answers."""

    request_id: str
    sequences: tuple[Sequence, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """To the engine: a request could not be prepared."""

    request_id: str
    error: ServiceError


class Requests:
    """The way to the preparer, in order of arrival. What nobody waits for any more is passed over."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[GenerationRequest | Inquire] = SimpleQueue()
        self._waiting: set[str] = set()

    def put(self, message: GenerationRequest | Inquire) -> None:
        """Adds a request or an inquiry."""
        if isinstance(message, GenerationRequest):
            self._waiting.add(message.id)
        self._queue.put(message)

    def forget(self, request_id: str) -> None:
        """Notes that nobody waits for the request any more, wherever it is."""
        self._waiting.discard(request_id)

    def get(self) -> GenerationRequest | Inquire:
        """Returns the next one; waits where there is none."""
        while True:
            message = self._queue.get()
            if isinstance(message, Inquire):
                return message
            if message.id in self._waiting:
                self._waiting.discard(message.id)
                return message


Inbox = SimpleQueue[Arrived | Prepared | Refused | Cancel]


def run(connection: Connection, config: EngineConfig) -> None:
    """Loads the model, serves until the other side of the connection closes, and ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the server decides what it means.
    os.environ["GGML_NO_BACKTRACE"] = "1"  # On a failed check, do not fork a debugger.
    threading.stack_size(STACK_BYTES)
    outbox = Outbox(connection)
    _report_log(outbox)
    inbox: Inbox = SimpleQueue()
    requests = Requests()
    errands = Errands()
    arguments = (config, inbox, requests, errands, outbox)
    threading.Thread(target=_serve, args=arguments, name="engine", daemon=True).start()
    _receive(connection, inbox, requests, errands)
    os._exit(0)  # The engine's thread may be inside llama.cpp, where nothing can interrupt it.


logger = logging.getLogger(__name__)


class Outbox:
    """The way to the server, for all threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def send(self, message: FromWorker) -> None:
        """Sends the message; a server that is gone ends the process."""
        try:
            with self._lock:
                self._connection.send(message)
        except OSError:
            os._exit(0)


class OutboxHandler(logging.Handler):
    """Sends the worker's own log records to the server, which formats them with its own."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        """Sends the record as one line."""
        self._outbox.send(LogLine(record.levelno, self.format(record), getattr(record, REQUEST_ID, "")))


def _report_log(outbox: Outbox) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[OutboxHandler(outbox)], force=True)
    llama.route_log(lambda level, text: outbox.send(LogLine(_log_level(level, text), text)))
    llama.on_abort(lambda text: outbox.send(LastWords(text)))


def _log_level(level: int, text: str) -> int:
    # The cache holds several requests' contexts together, so it may be longer than the context of the training.
    return logging.DEBUG if "possible training context overflow" in text else LOG_LEVELS.get(level, logging.DEBUG)


def _receive(connection: Connection, inbox: Inbox, requests: Requests, errands: Errands) -> None:
    while True:
        try:
            message: ToWorker = connection.recv()
        except (EOFError, OSError):
            return
        match message:
            case Submit(request):
                inbox.put(Arrived(request.id))
                requests.put(request)
            case Compute(inquiry_id, embed):
                errands.put(inquiry_id, embed)
            case Inquire():
                requests.put(message)
            case Abandon(inquiry_id):
                errands.forget(inquiry_id)
            case Cancel(request_id):
                requests.forget(request_id)
                inbox.put(message)


def _serve(config: EngineConfig, inbox: Inbox, requests: Requests, errands: Errands, outbox: Outbox) -> None:
    try:
        parts = build(config, _report_progress(outbox))
        arguments = (parts.preparer, parts.inspector, requests, inbox, outbox)
        threading.Thread(target=_prepare, args=arguments, name="preparer", daemon=True).start()
        if parts.embedder is not None:
            run = (parts.embedder, errands, outbox)
            threading.Thread(target=_embed, args=run, name="embedder", daemon=True).start()
        outbox.send(Ready(parts.info))
        if parts.engine is not None:
            EngineLoop(parts.engine, inbox, outbox).run()
    except ModelFailedError as error:
        outbox.send(LoadFailed(str(error)))
        os._exit(1)
    except BaseException as error:
        logger.exception("the engine failed")
        outbox.send(LastWords(f"{type(error).__name__}: {error}"))
        os._exit(1)


def _report_progress(outbox: Outbox) -> Callable[[float], None]:
    reported = 0.0

    def report(fraction: float) -> None:
        nonlocal reported
        if fraction - reported >= _LOADING_STEP:
            reported = fraction
            outbox.send(Loading(fraction))

    return report


def _prepare(preparer: Preparer, inspector: Inspector, requests: Requests, inbox: Inbox, outbox: Outbox) -> None:
    while True:
        match requests.get():
            case Inquire(inquiry_id, inquiry):
                outbox.send(Answered(inquiry_id, _attempt(inspector.answer, inquiry, "an inquiry")))
            case request:
                outcome = _attempt(preparer.prepare, request, f"request {request.id}", request.id)
                if isinstance(outcome, ServiceError):
                    inbox.put(Refused(request.id, outcome))
                else:
                    inbox.put(Prepared(request.id, outcome))


def _embed(embedder: Embedder, errands: Errands, outbox: Outbox) -> None:
    while True:
        errand_id, embed = errands.get()
        work = partial(embedder.answer, check=partial(errands.check, errand_id))
        outbox.send(Answered(errand_id, _attempt(work, embed, "embeddings")))
        errands.forget(errand_id)


def _attempt(work: Callable[[Item], Outcome], item: Item, what: str, request_id: str = "") -> Outcome | ServiceError:
    """Returns what the work makes of the item, or the error that says why it cannot."""
    try:
        return work(item)
    except ServiceError as error:
        return error
    except Exception:
        logger.exception("preparing %s failed", what, extra={REQUEST_ID: request_id})
        return ComputationError("the request could not be prepared")


class EngineLoop:
    """Feeds the engine from its inbox and sends what each step has."""

    def __init__(self, engine: Engine, inbox: Inbox, outbox: Outbox) -> None:
        self._engine = engine
        self._inbox = inbox
        self._outbox = outbox
        self._preparing: set[str] = set()
        self._residency = Residency()

    def run(self) -> None:
        """Makes steps while there is work, and sleeps while there is none. Never returns."""
        while True:
            self._drain()
            output = self._engine.step()
            stats = output.stats._replace(resident_bytes=self._residency.bytes())
            self._outbox.send(output._replace(stats=stats))

    def _drain(self) -> None:
        while not self._engine.busy:
            self._handle(self._inbox.get())
        while True:
            try:
                self._handle(self._inbox.get_nowait())
            except Empty:
                return

    def _handle(self, message: Arrived | Prepared | Refused | Cancel) -> None:
        match message:
            case Arrived(request_id):
                self._preparing.add(request_id)
            case Cancel(request_id) if request_id in self._preparing:
                self._preparing.discard(request_id)
                self._engine.count_cancelled(Stage.QUEUED)
            case Cancel(request_id):
                self._engine.cancel(request_id)
            case Refused(request_id, error):
                if self._arrives(request_id):
                    self._engine.reject(request_id, error)
            case Prepared(request_id, sequences):
                submit = self._engine.submit if self._arrives(request_id) else _discard
                for sequence in sequences:
                    submit(sequence)

    def _arrives(self, request_id: str) -> bool:
        """Whether the request still wants to be computed; False where it was cancelled while being prepared."""
        wanted = request_id in self._preparing
        self._preparing.discard(request_id)
        return wanted


def _discard(sequence: Sequence) -> None:
    sequence.sampler.close()
