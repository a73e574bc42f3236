"""Questions about one state, as a request for scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_inference_api.decisions.answer import Decision, decisions
from llm_inference_api.decisions.branches import branches, chat_of
from llm_inference_api.decisions.labels import by_labels, check_labels
from llm_inference_api.decisions.question import Question, check_questions
from llm_inference_api.errors import InvalidFieldError
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.classifying import Classify
from llm_inference_api.requests.events import Logprobs
from llm_inference_api.requests.inquiry import Input
from llm_inference_api.requests.limits import new_id
from llm_inference_api.requests.request import GREEDY, GenerationRequest
from llm_inference_api.requests.thinking import Thinking


@dataclass(frozen=True, slots=True)
class Decisions:
    """Questions, and the request that answers them."""

    state: tuple[Message, ...]
    state_field: str
    """Name of the field that has the state, for error messages."""
    questions: tuple[Question, ...]
    rotations: int
    request: GenerationRequest
    """What a model is asked that generates text."""

    @classmethod
    def checked(
        cls, state: Sequence[Message], questions: Sequence[Question], rotations: int, model: str, state_field: str
    ) -> "Decisions":
        """Returns the questions with their request.

        Args:
            state: What is asked about, as a chat.
            questions: What is asked.
            rotations: In how many orders options are shown.
            model: Id of the model; empty: the only one.
            state_field: Name of the field that has the state.

        Raises:
            InvalidFieldError: A question cannot be asked.
        """
        check_questions("questions", questions, rotations)
        request = GenerationRequest(
            new_id("decide"),
            chat_of(state),
            GREEDY,
            model=model,
            sent_in=state_field,
            ending=Ending.ANSWER,
            thinking=Thinking(budget=0),
            scoring=branches(questions, rotations),
        )
        return cls(tuple(state), state_field, tuple(questions), rotations, request)

    def answers(self, scores: Sequence[Logprobs]) -> list[Decision]:
        """Returns the answer to each question, from the request's scores."""
        return decisions(self.questions, self.rotations, scores)

    def classify(self, labels: Sequence[str]) -> Classify:
        """Returns the request to a model that has labels.

        Raises:
            InvalidFieldError: A question is no choice of labels, or the state is more than one text.
        """
        check_labels(self.questions, labels)
        if [message.role for message in self.state] != ["user"]:
            raise InvalidFieldError(self.state_field, "must be one text of a user: this model classifies texts")
        return Classify(Input(self.state_field, self.state[0].content))

    def answers_by_labels(self, probabilities: Mapping[str, float]) -> list[Decision]:
        """Returns the answer to each question, from the probabilities of a model's labels."""
        return [by_labels(question, probabilities) for question in self.questions]
