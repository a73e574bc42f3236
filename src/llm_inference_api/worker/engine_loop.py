"""The engine's thread: takes prepared requests and cancels, makes steps, sends what each step produced."""

from dataclasses import dataclass
from queue import Empty, SimpleQueue

from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.errors import ServiceError
from llm_inference_api.processes.parent import Parent
from llm_inference_api.requests.events import Stage
from llm_inference_api.worker.messages import Begun, Cancel, Lane
from llm_inference_api.worker.resident_memory import ResidentMemory


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


_SAVING = 0.05
"""Part of a step's time in which prefixes of ended requests are copied beside it."""

Inbox = SimpleQueue[Announced | Admissible | Inadmissible | Cancel]


class EngineLoop:
    """Main loop of the engine's thread: takes messages from the inbox, runs steps and sends their output."""

    def __init__(self, engine: Engine, inbox: Inbox, parent: Parent) -> None:
        self._engine = engine
        self._inbox = inbox
        self._parent = parent
        self._preparing: set[str] = set()
        self._resident_memory = ResidentMemory()
        engine.on_forward = self._announce

    def run(self) -> None:
        """Runs steps while there is work, and blocks on the inbox while there is none. Never returns."""
        while True:
            self._drain()
            output = self._engine.step()
            stats = output.stats._replace(resident_bytes=self._resident_memory.bytes())
            self._parent.send(output._replace(stats=stats))
            self._engine.save_some(_SAVING * stats.seconds)

    def _announce(self, request_ids: tuple[str, ...]) -> None:
        self._parent.send(Begun(Lane.STEPS, request_ids))

    def _drain(self) -> None:
        while not self._engine.busy:
            if self._inbox.empty() and self._engine.save_some():
                continue
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
