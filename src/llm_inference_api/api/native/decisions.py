"""DecisionService: typed questions about a state."""

from collections.abc import Callable, Collection

from llm_inference.v1 import decisions_pb2, decisions_pb2_grpc
from llm_inference_api.api.native.messages import usage
from llm_inference_api.api.native.reading import read_messages
from llm_inference_api.decisions.answer import Decision
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import DEFAULT_ROTATIONS, Kind, Option, Question, yes_or_no
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.decider import Decided, Decider
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.sizes import check_size
from llm_inference_api.rpc.call import Call
from llm_inference_api.rpc.off_loop import off_loop


class DecisionServicer(decisions_pb2_grpc.DecisionServiceServicer):
    """Translates between RPCs and decisions."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    async def Decide(self, request: decisions_pb2.DecideRequest, call: Call) -> decisions_pb2.DecideResponse:
        """Returns the answer to each question, in order."""
        size = request.ByteSize()
        asked = await off_loop(size, _read, request)
        decided = await self._decider.decide(asked, call, size)
        return await off_loop(size, _response, asked.request.id, decided)


def _read(wire: decisions_pb2.DecideRequest) -> Decisions:
    questions = [read_question(f"questions[{index}]", one) for index, one in enumerate(wire.questions)]
    rotations = wire.rotations if wire.HasField("rotations") else DEFAULT_ROTATIONS
    field = "messages" if wire.messages else "text"
    return Decisions.checked(_state(wire), questions, rotations, wire.model, field)


def _state(wire: decisions_pb2.DecideRequest) -> tuple[Message, ...]:
    if bool(wire.text) == bool(wire.messages):
        raise InvalidFieldError("text", "give either `text` or `messages`: the state")
    if wire.messages:
        return read_messages(wire.messages)
    check_size("text", len(wire.text.encode()))
    return (Message("user", wire.text),)


def read_question(field: str, wire: decisions_pb2.Question) -> Question:
    """Returns the question; `field` is its place, for error messages. Raises InvalidFieldError if it has no kind."""
    kind = wire.WhichOneof("kind")
    if kind is None:
        raise InvalidFieldError(field, "has no kind; give one of `predicate`, `choice` and `score`")
    options_field, options = _OPTIONS[kind]
    return Question(field, Kind(kind), wire.instructions, options(wire), options_field, wire.name)


def _options(wire: Collection[decisions_pb2.Option]) -> tuple[Option, ...]:
    return tuple(Option(option.value, option.description) for option in wire)


_OPTIONS: dict[str, tuple[str, Callable[[decisions_pb2.Question], tuple[Option, ...]]]] = {
    "predicate": ("predicate", lambda wire: yes_or_no(wire.predicate.yes, wire.predicate.no)),
    "choice": ("choice.options", lambda wire: _options(wire.choice.options)),
    "score": ("score.levels", lambda wire: _options(wire.score.levels)),
}
"""For each kind the field that has the options, and how they are read."""


def _response(request_id: str, decided: Decided) -> decisions_pb2.DecideResponse:
    decisions = map(_decision, decided.decisions)
    return decisions_pb2.DecideResponse(
        id=request_id, model=decided.model, decisions=decisions, usage=usage(decided.usage)
    )


def _decision(domain: Decision) -> decisions_pb2.Decision:
    question, coverage, temperature = domain.question, domain.coverage, domain.temperature
    probabilities = [
        decisions_pb2.OptionProbability(value=option.value, probability=probability)
        for option, probability in zip(question.options, domain.probabilities, strict=True)
    ]
    match question.kind:
        case Kind.PREDICATE:
            predicate = decisions_pb2.PredicateDecision(probability=domain.probabilities[0])
            return decisions_pb2.Decision(
                name=question.name, predicate=predicate, coverage=coverage, temperature=temperature
            )
        case Kind.CHOICE:
            choice = decisions_pb2.OptionDecision(
                value=question.options[domain.best].value,
                confidence=domain.confidence,
                probabilities=probabilities,
            )
            return decisions_pb2.Decision(name=question.name, choice=choice, coverage=coverage, temperature=temperature)
        case Kind.SCORE:
            score = decisions_pb2.ScaleDecision(
                score=domain.score, confidence=domain.confidence, probabilities=probabilities
            )
            return decisions_pb2.Decision(name=question.name, score=score, coverage=coverage, temperature=temperature)
