"""`/v1/systemone`: reads its questions, and writes their answers."""

from typing import Any

from llm_inference_api.api.openai.systemone_params import SystemOneParams, SystemOneQuestion, text_of
from llm_inference_api.decisions.answer import Decision
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import DEFAULT_ROTATIONS, Kind, Option, Question, yes_or_no
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.decider import Decided
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.sizes import check_size

Json = dict[str, Any]
Criteria = dict[str, Any] | list[Any] | None

_KINDS = {"noul": Kind.PREDICATE, "choice": Kind.CHOICE, "score": Kind.SCORE}
_ASKED = {
    Kind.PREDICATE: "Is it so?",
    Kind.CHOICE: "Which of them fits best?",
    Kind.SCORE: "Which level fits best?",
}
"""What is asked where a question has no instructions: its criteria say what is meant."""


def read_systemone(params: SystemOneParams) -> Decisions:
    """Returns the questions with their request. Raises InvalidFieldError."""
    state = text_of(params.state)
    if not state:
        raise InvalidFieldError("state", "is empty; it is what the questions are about")
    check_size("state", len(state.encode()))
    questions = [_question(name, one) for name, one in params.questions.items()]
    return Decisions.checked((Message("user", state),), questions, DEFAULT_ROTATIONS, params.model, "state")


def _question(name: str, given: SystemOneQuestion) -> Question:
    field, kind = f"questions.{name}", _KINDS[given.type]
    options = _OPTIONS[kind](field, given.criteria)
    instructions = text_of(given.instructions)
    if not instructions.strip():
        if not any(option.description for option in options) and kind is Kind.PREDICATE:
            raise InvalidFieldError(f"{field}.instructions", "is empty, and no criteria say what is asked")
        instructions = _ASKED[kind]
    return Question(field, kind, instructions, options, "criteria", name, fewest=1)  # As in TypeSafe's document.


def _yes_or_no(field: str, criteria: Criteria) -> tuple[Option, ...]:
    given = criteria or {}
    if isinstance(given, list) or given.keys() - {"true", "false"}:
        raise InvalidFieldError(f"{field}.criteria", "may have `true` and `false` only, which say when each is right")
    return yes_or_no(text_of(given.get("true")), text_of(given.get("false")))


def _choices(field: str, criteria: Criteria) -> tuple[Option, ...]:
    if not isinstance(criteria, dict):
        raise InvalidFieldError(
            f"{field}.criteria", "must be an object of the options, each with a description or null"
        )
    return tuple(Option(value, text_of(description)) for value, description in criteria.items())


def _levels(field: str, criteria: Criteria) -> tuple[Option, ...]:
    """Returns the levels: the model says a level's number, as its criterion describes it."""
    if not isinstance(criteria, list):
        raise InvalidFieldError(f"{field}.criteria", "must be a list of the levels, from the lowest to the highest")
    return tuple(Option(str(level), text_of(description)) for level, description in enumerate(criteria))


_OPTIONS = {Kind.PREDICATE: _yes_or_no, Kind.CHOICE: _choices, Kind.SCORE: _levels}


def systemone_object(params: SystemOneParams, decided: Decided) -> Json:
    """Returns the object of all answers."""
    return {
        "model": decided.model,
        "answers": {
            name: {"type": asked.type, **_answer(asked, decision), **decision.trust}
            for (name, asked), decision in zip(params.questions.items(), decided.decisions, strict=True)
        },
        "usage": {"input_tokens": decided.usage.prompt_tokens, "output_tokens": decided.usage.completion_tokens},
    }


def _answer(asked: SystemOneQuestion, decision: Decision) -> Json:
    if asked.type == "noul":
        return {"noul": decision.probabilities[0]}
    values = [option.value for option in decision.question.options]
    spread = {
        "confidence": decision.confidence,
        "probabilities": dict(zip(values, decision.probabilities, strict=True)),
    }
    if asked.type == "choice":
        return {"choice": values[decision.best], **spread}
    return {"score": decision.score, "legend": dict(zip(values, asked.criteria or (), strict=True)), **spread}
