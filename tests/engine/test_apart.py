"""Scores in forwards of their own, where a row depends on its batch."""

import pytest

from llm_inference_api.engine.engine import Engine
from llm_inference_api.engine.prefix_cache import PrefixCache, Seat
from llm_inference_api.engine.prompt_chunk import Chunk
from llm_inference_api.engine.scheduler import Scheduler
from llm_inference_api.engine.score_paths import ScoredText
from llm_inference_api.engine.step_budget import StepBudget
from tests.engine.test_scores import PREFIX, Bench

CHUNK = Chunk(16, block=4)
TEXTS = [ScoredText(tuple(range(first, first + 9)), 3) for first in (300, 400, 500)]


class Apart(Bench):
    """An engine whose rows depend on their batch."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler(PrefixCache(seats=8, cells=1000), 2, keeps_order=True, chunk=CHUNK)
        self.engine = Engine(self.backend, self.scheduler, StepBudget(512, 4), clock=lambda: 0.0)


def test_scores_share_no_forward() -> None:
    """Each path is computed by itself, in steps up to a multiple of the chunk, while an answer goes on."""
    bench = Apart()
    bench.generate("beside", [1, 2, 3], 6)
    bench.score("a", TEXTS)
    bench.run()
    shared = [{row.token for row in rows} for rows in bench.backend.forwards if len({row.seat for row in rows}) > 1]
    assert shared == []
    scored = [rows for rows in bench.backend.forwards if any(row.token >= 100 for row in rows)]
    length = len(PREFIX) + 8
    assert {(rows[-1].position + 1) % CHUNK.rows for rows in scored} <= {0, length % CHUNK.rows}


def test_answer_goes_on_beside_scores() -> None:
    """A step computes a path and the others' rows."""
    bench = Apart()
    bench.generate("beside", [1, 2, 3], 6)
    bench.step()
    bench.score("a", TEXTS)
    before = len(bench.deltas)
    bench.step()
    assert len(bench.deltas) > before
    assert len(bench.backend.forwards) == 3


def test_path_waits_for_room_to_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells would not ascend; once nothing else is computed, it goes on nevertheless."""
    bench = Apart()
    bench.generate("beside", [1, 2, 3], 4)
    bench.step()
    bench.score("a", TEXTS[:1])

    def parts(seat: Seat) -> bool:
        return bool(seat.tokens) and seat.tokens[0] == PREFIX[0]

    monkeypatch.setattr(bench.scheduler.cache, "would_part", parts)
    bench.step()
    bench.step()
    steps = [{row.token for row in rows} for rows in bench.backend.forwards[2:]]
    assert not any(token >= 100 for tokens in steps for token in tokens)
    bench.run()
    assert bench.deltas[-1].scores
