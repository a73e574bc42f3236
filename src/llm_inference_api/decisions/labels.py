"""Questions to a model whose head has labels of its own."""

from collections.abc import Mapping, Sequence

from llm_inference_api.decisions.answer import Decision
from llm_inference_api.decisions.question import Kind, Question
from llm_inference_api.errors import InvalidFieldError


def check_labels(questions: Sequence[Question], labels: Sequence[str]) -> None:
    """Raises InvalidFieldError unless each question is a choice of labels."""
    for question in questions:
        if question.kind is not Kind.CHOICE:
            known = ", ".join(labels)
            raise InvalidFieldError(
                question.field, f"must be a choice: this model answers by its labels only ({known})"
            )
        for index, option in enumerate(question.options):
            if option.value.strip() not in labels:
                field = f"{question.field}.{question.options_field}[{index}]"
                raise InvalidFieldError(field, f"is no label of this model; it has {', '.join(labels)}")


def by_labels(question: Question, probabilities: Mapping[str, float]) -> Decision:
    """Returns the answer to a choice of labels, which are a part or all of the model's."""
    given = [probabilities[option.value.strip()] for option in question.options]
    total = sum(given)
    shares = tuple(one / total for one in given) if total else tuple(1.0 / len(given) for _ in given)
    return Decision(question, shares, min(1.0, total))
