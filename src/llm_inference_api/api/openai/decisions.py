"""`/v1/decisions`: reads its questions, and writes their answers."""

import json
from typing import Any

from llm_inference_api.api.openai.decision_params import DecisionItem, DecisionParams, DecisionQuestion
from llm_inference_api.decisions.answer import Decision
from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import DEFAULT_ROTATIONS, Kind, Option, Question, yes_or_no
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.generation.decider import Decided
from llm_inference_api.requests.chat import Message, checked_messages
from llm_inference_api.requests.tools import ToolCall, complete_arguments

Json = dict[str, Any]

_OPTIONS = {"choice": "choices", "score": "levels", "predicate": ""}
"""The field with the options, by type of question."""


def read_decisions(params: DecisionParams) -> Decisions:
    """Returns the questions with their request. Raises InvalidFieldError."""
    if not params.input:
        raise InvalidFieldError("input", "is empty; it is what the questions are about")
    try:
        state = checked_messages([_message(f"input[{index}]", item) for index, item in enumerate(params.input)])
    except InvalidFieldError as error:
        raise InvalidFieldError(error.field.replace("messages", "input"), error.problem) from error
    questions = [_question(f"questions[{index}]", one) for index, one in enumerate(params.questions)]
    return Decisions.checked(state, questions, DEFAULT_ROTATIONS, params.model, "input")


def _message(field: str, item: DecisionItem) -> Message:
    match item.type:
        case "message":
            if item.role is None or item.content is None:
                raise InvalidFieldError(field, "needs `role` and `content`")
            return Message("system" if item.role == "developer" else item.role, item.content)
        case "function_call" | "custom_tool_call":
            if item.call_id is None or item.name is None:
                raise InvalidFieldError(field, "needs `call_id` and `name`")
            said = json.dumps({"input": item.input or ""}) if item.type == "custom_tool_call" else item.arguments
            return Message("assistant", "", (ToolCall(item.call_id, item.name, complete_arguments(said)),))
        case _:
            if item.call_id is None or item.output is None:
                raise InvalidFieldError(field, "needs `call_id` and `output`")
            return Message("tool", item.output, tool_call_id=item.call_id)


def _question(field: str, given: DecisionQuestion) -> Question:
    for name in ("choices", "levels"):
        if getattr(given, name) is not None and name != _OPTIONS[given.type]:
            raise InvalidFieldError(f"{field}.{name}", f"does not belong to a question of type {given.type}")
    match given.type:
        case "choice":
            options = tuple(Option(one.text, one.description or "") for one in given.choices or ())
        case "score":
            options = tuple(Option(one.label, one.description or "") for one in given.levels or ())
        case "predicate":
            options = yes_or_no()
    return Question(field, Kind(given.type), given.instructions, options, _OPTIONS[given.type], given.name or "")


def decision_object(params: DecisionParams, decided: Decided) -> Json:
    """Returns the object of all answers."""
    usage = decided.usage
    return {
        "model": decided.model,
        "answers": [_answer(one, decision) for one, decision in zip(params.questions, decided.decisions, strict=True)],
        "usage": {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        },
    }


def _answer(asked: DecisionQuestion, decision: Decision) -> Json:
    heading = {"type": asked.type, "name": asked.name}
    if asked.type == "predicate":
        return {**heading, "probability": decision.probabilities[0], **decision.trust}
    if asked.type == "choice":
        values = [one.value for one in asked.choices or ()]
        probabilities: list[Json] = [
            {"value": value, "probability": probability}
            for value, probability in zip(values, decision.probabilities, strict=True)
        ]
        answer: Json = {"choice": values[decision.best]}
    else:
        probabilities = [
            {"value": at, "label": option.value, "probability": probability}
            for at, (option, probability) in enumerate(
                zip(decision.question.options, decision.probabilities, strict=True)
            )
        ]
        answer = {"score": decision.score}
    spread = {"confidence": decision.confidence, "probabilities": probabilities}
    return {**heading, **answer, **spread, **decision.trust}
