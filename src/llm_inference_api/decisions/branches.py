"""Questions as branches on one state: the text that asks each, and the texts to score behind it."""

from collections.abc import Sequence
from dataclasses import replace

from llm_inference_api.decisions.question import Kind, Option, Question
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.scoring import Branch, Scoring

_SHOWN_AS = {
    Kind.PREDICATE: "Answers:",
    Kind.CHOICE: "Options:",
    Kind.SCORE: "Levels:",
}
_OPENING = "Answer:"
"""Of the model's answer: behind it, models say an option far rather than a sentence."""
_GAP = "\n\n"
"""Between the state and a question."""


def branches(questions: Sequence[Question], rotations: int) -> Scoring:
    """Returns one branch for each question and order, the orders of a question one after the other."""
    return Scoring(
        tuple(
            Branch(
                question.field,
                tuple(f" {question.options[index].value.strip()}" for index in order),
                _text(question, [question.options[index] for index in order]),
            )
            for question in questions
            for order in question.orders(rotations)
        ),
        opening=_OPENING,
        closes_thoughts=True,
    )


def chat_of(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Returns the chat that the questions end: behind the words of a user's last message, or as one of their own."""
    *before, last = messages
    if last.role == "user":
        return (*before, replace(last, content=last.content + _GAP))
    return (*messages, Message("user", ""))


def _text(question: Question, options: Sequence[Option]) -> str:
    """Returns a question as it is asked.

    ```
    Question: Which team should answer?
    Options:
    - billing: charges and refunds
    - shipping
    Answer with one of them, word for word.
    ```
    """
    lines = [
        f"- {option.value.strip()}{f': {text}' if (text := option.description.strip()) else ''}" for option in options
    ]
    head = f"Question: {question.instructions.strip()}"
    return "\n".join((head, _SHOWN_AS[question.kind], *lines, "Answer with one of them, word for word."))
