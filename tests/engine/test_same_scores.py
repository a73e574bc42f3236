"""Typed questions have the same scores to the last bit, also where a row depends on its batch."""

import random
from pathlib import Path

import pytest

from llm_inference_api.decisions.deciding import Decisions
from llm_inference_api.decisions.question import Kind, Option, Question, yes_or_no
from llm_inference_api.requests.chat import Message
from llm_inference_api.worker.score_preparer import ScorePreparer
from tests.engine.in_process import Answer, InProcess
from tests.fakes.gguf import write_tiny_model

STATE = "The keeper wrote down what he saw from the tower. " * 4
OPTIONS = tuple(map(Option, ("north", "northern lights over the bay", "a calm sea", "storm")))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights in F32, of which a batch of one row is computed by another kernel."""
    return write_tiny_model(tmp_path_factory.mktemp("wide") / "wide.gguf", width=256)


class Deciding(InProcess):
    """An engine that answers questions too."""

    def decide(self, name: str, state: str, options: tuple[Option, ...] = OPTIONS) -> None:
        self.answers[name] = Answer()
        questions = (
            Question("questions[0]", Kind.PREDICATE, "Was it calm?", yes_or_no(), "options"),
            Question("questions[1]", Kind.CHOICE, "What came?", options, "options"),
            Question("questions[2]", Kind.SCORE, "How strong?", OPTIONS[2:], "options"),
        )
        asked = self.asked = Decisions.checked([Message("user", state)], questions, 2, "", "text")
        (sequence,) = ScorePreparer(self.preparer).prepare(asked.request)
        self.answers[asked.request.id] = self.answers[name]
        self.board = sequence.board
        self.engine.submit(sequence)

    def decided(self) -> list[tuple[float, dict[str, float]]]:
        """Returns the coverage of each question and the probabilities of its options."""
        assert self.board is not None
        return [
            (one.coverage, {option.value: p for option, p in zip(one.question.options, one.probabilities, strict=True)})
            for one in self.asked.answers(self.board.scores())
        ]


def alone(model: Path) -> list[tuple[float, dict[str, float]]]:
    engine = Deciding(model)
    engine.decide("alone", STATE)
    engine.finish()
    return engine.decided()


def test_cached_state_gives_the_same_scores(wide: Path) -> None:
    """What a request left in the cache is used where it is what would be computed."""
    engine = Deciding(wide)
    for turn in range(3):
        engine.decide(str(turn), STATE)
        engine.finish()
        assert engine.decided() == alone(wide)


@pytest.mark.parametrize(("cells", "store", "seed"), [(2048, 0, 4), (3072, 1 << 26, 9)])
def test_other_requests_do_not_change_the_scores(wide: Path, cells: int, store: int, seed: int) -> None:
    """Under mixed load, in a cache that holds few of the requests, with and without a store, with permuted options."""
    wanted, chance = alone(wide), random.Random(seed)
    engine = Deciding(wide, slots=3, cache_tokens=cells, prefix_store=store)
    for turn in range(5):
        for other in range(chance.randint(0, 4)):
            prompt = f"{STATE[: chance.randint(0, 200)]}{turn} {other}"
            engine.submit(f"{turn} {other}", None, chance.randint(1, 30), turn, prompt=prompt)
            for _ in range(chance.randint(0, 5)):
                engine.step()
        engine.decide(str(turn), STATE, tuple(chance.sample(OPTIONS, len(OPTIONS))))
        engine.step()
        engine.submit(f"{turn} behind", None, 5, turn, prompt=f"{turn}{STATE}")
        engine.finish()
        assert engine.decided() == wanted, turn
