"""Worker process: loads one model and serves it over a pipe.

Five threads, connected by queues: the main thread receives messages, the preparer tokenizes, the compiler prepares the
requests that have constraints, the engine computes, and the embedder computes embeddings and relevance. An idle engine
blocks in `Queue.get`; a busy one polls without waiting. The engine's state belongs to its thread.
"""

import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import NoReturn, TypeVar

from llm_inference_api.backends.llama import backend as llama
from llm_inference_api.backends.llama.rpc_servers import tells_lost_server
from llm_inference_api.engine.embedder import AbandonedError, Errands
from llm_inference_api.errors import ComputationError, CostlyFieldError, ModelFailedError, ServiceError
from llm_inference_api.processes.garbage import kept
from llm_inference_api.processes.parent import Parent
from llm_inference_api.processes.throttle import Throttle
from llm_inference_api.requests.classifying import Classes, Classify
from llm_inference_api.requests.engine_config import EngineConfig
from llm_inference_api.requests.errand import Errand
from llm_inference_api.requests.inquiry import Embed, Embeddings
from llm_inference_api.requests.ranking import Rank, Relevances
from llm_inference_api.worker.engine_loop import Admissible, Announced, EngineLoop, Inadmissible, Inbox
from llm_inference_api.worker.inspector import Inspector
from llm_inference_api.worker.messages import (
    LOG_LEVELS,
    Abandon,
    Answered,
    Begun,
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
from llm_inference_api.worker.parts import Parts, build
from llm_inference_api.worker.preparation_queue import PreparationQueue
from llm_inference_api.worker.preparer import Preparer
from llm_inference_api.worker.pulse import Pulse
from llm_inference_api.worker.score_preparer import ScorePreparer

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


def run(connection: Connection, config: EngineConfig) -> None:
    """Loads the model and serves it. The process exits when the server closes the connection."""
    parent = Parent(connection)
    os.environ["GGML_NO_BACKTRACE"] = "1"  # On a failed check, do not fork a debugger.
    threading.stack_size(STACK_BYTES)
    _report_log(parent, verbose=config.verbose)
    inbox: Inbox = SimpleQueue()
    requests = PreparationQueue(partial(_skip, parent))
    errands = Errands()
    arguments = (config, inbox, requests, errands, parent)
    try:
        threading.Thread(target=_serve, args=arguments, name="engine", daemon=True).start()
    except RuntimeError as error:
        _end(parent, error)
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


def _report_log(parent: Parent, *, verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO, handlers=[ParentHandler(parent)], force=True)
    llama.route_log(lambda level, text: parent.send(LogLine(_log_level(level, text), text)), verbose=verbose)
    llama.on_abort(lambda text: parent.send(LastWords(text, tells_lost_server(text))))


def _log_level(level: int, text: str) -> int:
    # Harmless: the KV cache is shared by all sequences, so it may be larger than the training context.
    return logging.DEBUG if "possible training context overflow" in text else LOG_LEVELS.get(level, logging.DEBUG)


def _receive(parent: Parent, inbox: Inbox, requests: PreparationQueue, errands: Errands) -> None:
    while True:
        message: ToWorker = parent.receive()
        match message:
            case Submit(request):
                inbox.put(Announced(request.id))
                requests.put(request)
            case Compute(inquiry_id, errand):
                errands.put(inquiry_id, errand)
            case Inquire():
                requests.put(message)
            case Abandon(inquiry_id):
                requests.cancel(inquiry_id)
                errands.forget(inquiry_id)
            case Cancel(request_id):
                requests.cancel(request_id)
                inbox.put(message)


def _serve(config: EngineConfig, inbox: Inbox, requests: PreparationQueue, errands: Errands, parent: Parent) -> None:
    try:
        with kept():
            parts = build(config, _report_progress(parent))
        for lane, name in ((Lane.PREPARING, "preparer"), (Lane.COMPILING, "compiler")):
            arguments = (lane, parts.preparer, parts.inspector, requests, inbox, parent)
            threading.Thread(target=_prepare, args=arguments, name=name, daemon=True).start()
        if (parts.embedder, parts.ranker, parts.classifier) != (None, None, None):
            pulse = Pulse(Lane.EMBEDDINGS, config.step_timeout, parent.send)
            run = (parts, errands, pulse, parent)
            threading.Thread(target=_embed, args=run, name="embedder", daemon=True).start()
        parent.send(Ready(parts.info))
        if parts.engine is not None:
            EngineLoop(parts.engine, inbox, parent).run()
    except ModelFailedError as error:
        parent.send(LoadFailed(str(error)))
        os._exit(1)
    except BaseException as error:
        _end(parent, error)


def _end(parent: Parent, error: BaseException) -> NoReturn:
    """Says why the worker ends, and ends it. Where memory is all that is missing, no traceback explains more."""
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        parent.send(LastWords(f"out of memory ({error or 'MemoryError'})"))
    else:
        logger.error("the engine failed", exc_info=error)
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


def _skip(parent: Parent, key: str | int) -> None:
    """Settles a request or an inquiry that was cancelled while it waited to be prepared."""
    parent.send(Prepared(key) if isinstance(key, str) else Answered(key, AbandonedError()))


def _prepare(  # noqa: PLR0913, PLR0917 - what a thread is given
    lane: Lane, preparer: Preparer, inspector: Inspector, requests: PreparationQueue, inbox: Inbox, parent: Parent
) -> None:
    while True:
        message, arrived_at = requests.get(lane)
        match message:
            case Inquire(inquiry_id, inquiry):
                parent.send(Begun(lane, (inquiry_id,)))
                parent.send(Answered(inquiry_id, _attempt(inspector.answer, inquiry, "an inquiry")))
            case request:
                parent.send(Begun(lane, (request.id,)))
                prepare = preparer.prepare if request.scoring is None else ScorePreparer(preparer).prepare
                work = partial(prepare, arrived_at=arrived_at)
                outcome = _attempt(work, request, f"request {request.id}", request.id)
                if lane is Lane.COMPILING:
                    requests.note_cost(request.caller, refused=isinstance(outcome, CostlyFieldError))
                parent.send(Prepared(request.id))  # Must precede any step output that has this request.
                if isinstance(outcome, ServiceError):
                    inbox.put(Inadmissible(request.id, outcome))
                else:
                    inbox.put(Admissible(request.id, outcome))


def _embed(parts: Parts, errands: Errands, pulse: Pulse, parent: Parent) -> None:
    while True:
        errand_id, errand = errands.get()
        parent.send(Begun(Lane.EMBEDDINGS, (errand_id,)))
        work = partial(_run_errand, parts, check=partial(_go_on, errands, errand_id, pulse))
        parent.send(Answered(errand_id, _attempt(work, errand, "embeddings")))
        errands.forget(errand_id)


def _run_errand(parts: Parts, errand: Errand, check: Callable[[], None]) -> Embeddings | Relevances | Classes:
    """Returns what the errand asks for; the server sends none that the model cannot run."""
    match errand:
        case Rank():
            assert parts.ranker is not None
            return parts.ranker.answer(errand, check)
        case Classify():
            assert parts.classifier is not None
            return parts.classifier.answer(errand, check)
        case Embed():
            assert parts.embedder is not None
            return parts.embedder.answer(errand, check)


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
