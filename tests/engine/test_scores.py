"""Scores through the engine: texts that begin alike are computed once, beside what generates."""

import pytest

from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.prefix_cache import PrefixCache
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.score_paths import ScoredText, ScorePaths
from llm_inference_api.engine.scores import GivenTokens, NoSampler, ScoreBoard
from llm_inference_api.engine.sequence import Sequence
from llm_inference_api.engine.step_budget import StepBudget
from llm_inference_api.errors import ComputationError, ServiceError
from llm_inference_api.requests.request import GREEDY, GenerationRequest, Sampling
from llm_inference_api.requests.step import Delta
from tests.fakes.backend import FakeBackend, FakeSampler

PREFIX = list(range(100, 150))


class Bench:
    """An engine of two slots and eight seats over a fake backend."""

    def __init__(self) -> None:
        self.backend = FakeBackend()
        self.scheduler = Scheduler(PrefixCache(seats=8, cells=1000), 2)
        self.engine = Engine(self.backend, self.scheduler, StepBudget(512, 4), clock=lambda: 0.0)
        self.deltas = list[Delta]()
        self.rejected = list[ServiceError]()

    def score(self, name: str, texts: list[ScoredText]) -> None:
        paths = ScorePaths(PREFIX, texts)
        given = [GivenTokens(wanted) for wanted in paths.wanted()]
        board = ScoreBoard(paths, given)
        request = GenerationRequest(name, "", GREEDY)
        sequences = [
            Sequence(
                request=request,
                tokens=paths.tokens(path),
                max_tokens=0,
                output=OutputText(()),
                sampler=NoSampler(),
                submitted_at=0.0,
                given=one,
                board=board,
                is_follower=path > 0,
            )
            for path, one in enumerate(given)
        ]
        for path in range(1, len(paths)):
            sequences[paths.parent(path)].followers.append(sequences[path])
        self.engine.submit(sequences[0])

    def generate(self, name: str, tokens: list[int], max_tokens: int) -> None:
        request, sampler = GenerationRequest(name, "", Sampling(seed=0)), FakeSampler(self.backend, tokens)
        self.engine.submit(Sequence(request, tokens, max_tokens, OutputText(()), sampler, 0.0))

    def step(self) -> None:
        output = self.engine.step()
        self.deltas += output.deltas
        self.rejected += [rejection.error for rejection in output.rejections]

    def run(self) -> None:
        while self.engine.busy:
            self.step()


def test_each_text_has_the_scores_of_its_tokens() -> None:
    """The fake model gives the token that is one more the log probability 0, and all others -1."""
    bench = Bench()
    bench.score("a", [ScoredText((150, 151), 0), ScoredText((150, 9), 0), ScoredText((7, 8), 0)])
    bench.run()
    (delta,) = bench.deltas
    assert [[token.logprob for token in tokens] for tokens in delta.scores] == [[0, 0], [0, -1], [-1, 0]]


def test_prefix_is_computed_once() -> None:
    """Thirty texts cost their prefix once, and their own tokens but the last."""
    bench = Bench()
    bench.score("a", [ScoredText((token, token), 0) for token in range(30)])
    bench.run()
    assert sum(map(len, bench.backend.forwards)) == len(PREFIX) + 30


def test_usage_counts_all_distinct_tokens() -> None:
    """Tokens of the prefix count once; a second request finds them in the cache."""
    bench = Bench()
    for name in ("a", "b"):
        bench.score(name, [ScoredText((1, 2), 0), ScoredText((3, 4), 0)])
        bench.run()
    first, second = (delta.usage for delta in bench.deltas)
    assert first is not None
    assert second is not None
    assert (first.prompt_tokens, first.cached_tokens) == (len(PREFIX) + 4, 0)
    assert second.prompt_tokens == first.prompt_tokens
    assert second.cached_tokens == len(PREFIX) - 1


def test_texts_run_beyond_the_slots() -> None:
    """Texts take seats that no answer needs, so that a step computes many of them."""
    bench = Bench()
    bench.score("a", [ScoredText((token, token), 0) for token in range(30)])
    bench.step()
    bench.step()
    assert len(bench.backend.forwards[1]) == 6


def test_answer_is_admitted_beside_many_texts() -> None:
    """Texts leave a seat for each slot."""
    bench = Bench()
    bench.score("a", [ScoredText((token, token), 0) for token in range(30)])
    bench.step()
    bench.generate("b", [1, 2, 3], 2)
    bench.step()
    assert "b" in {sequence.request_id for sequence in bench.scheduler.running}


def test_step_reads_a_bounded_number_of_scores() -> None:
    """A long text is read over several steps, since a backend keeps all scores of a step."""
    bench = Bench()
    bench.score("a", [ScoredText(tuple(range(300)), 0)])
    bench.run()
    assert max(sum(row.wants_scores for row in rows) for rows in bench.backend.forwards) <= 128
    assert len(bench.deltas[0].scores[0]) == 300


def test_cancel_ends_all_texts() -> None:
    """Nothing of a cancelled request is left, neither running nor to come."""
    bench = Bench()
    bench.score("a", [ScoredText((token, token), 0) for token in range(30)])
    bench.step()
    bench.step()
    bench.engine.cancel("a")
    assert not bench.scheduler.running
    assert not bench.scheduler.waiting
    bench.run()
    assert not bench.deltas


def test_failed_score_fails_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose scores are no numbers fails the request, and no other."""
    bench = Bench()

    def fail(row: int, tokens: object, top: int) -> None:
        raise ComputationError("no number")

    monkeypatch.setattr(bench.backend, "logprobs", fail)
    bench.score("a", [ScoredText((1, 2), 0)])
    bench.generate("b", [1, 2, 3], 2)
    bench.run()
    assert [str(error) for error in bench.rejected] == ["no number"]
    assert {delta.request_id for delta in bench.deltas} == {"b"}
