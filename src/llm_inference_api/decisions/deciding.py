"""Questions about one state, as a request for scores."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_inference_api.decisions.answer import Decision, decisions
from llm_inference_api.decisions.branches import branches, chat_of
from llm_inference_api.decisions.calibration import Calibrations
from llm_inference_api.decisions.question import Question, check_questions
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.events import Logprobs
from llm_inference_api.requests.limits import new_id
from llm_inference_api.requests.request import GREEDY, GenerationRequest
from llm_inference_api.requests.thinking import Thinking


@dataclass(frozen=True, slots=True)
class Decisions:
    """Questions, and the request that answers them."""

    questions: tuple[Question, ...]
    rotations: int
    request: GenerationRequest

    @classmethod
    def checked(
        cls, state: Sequence[Message], questions: Sequence[Question], rotations: int, model: str
    ) -> "Decisions":
        """Returns the questions with their request.

        Args:
            state: What is asked about, as a chat.
            questions: What is asked.
            rotations: In how many orders options are shown.
            model: Id of the model; empty: the only one.

        Raises:
            InvalidFieldError: A question cannot be asked.
        """
        check_questions("questions", questions, rotations)
        request = GenerationRequest(
            new_id("decide"),
            chat_of(state),
            GREEDY,
            model=model,
            ending=Ending.ANSWER,
            thinking=Thinking(budget=0),
            scoring=branches(questions, rotations),
        )
        return cls(tuple(questions), rotations, request)

    def answers(self, scores: Sequence[Logprobs], model: str, calibrations: Calibrations) -> list[Decision]:
        """Returns the answer to each question, from the request's scores, calibrated for the model that answers."""
        temperatures = [calibrations.temperature(model, one, self.rotations) for one in self.questions]
        return decisions(self.questions, self.rotations, scores, temperatures)
