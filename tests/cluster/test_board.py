import asyncio

import pytest

from llm_inference_api.cluster import board as subject
from llm_inference_api.cluster.board import Board
from llm_inference_api.cluster.report import Report
from llm_inference_api.requests.model_status import ModelStatus, State
from llm_inference_api.requests.step import StepStats

ACTIVE = ModelStatus("m", "m", State.ACTIVE)
REPORT = Report("m", "r", ACTIVE, steps=(StepStats(prompt_tokens=1), StepStats(running=2)), loads=(1.0,))


async def test_server_that_comes_learns_of_all_replicas() -> None:
    """It gets their gauges, but does not count again what was counted before it came."""
    board = Board()
    await board.report(REPORT)
    count, reports = await board.since(None)
    assert count == 1
    assert reports == [REPORT._replace(steps=(StepStats(running=2),), loads=())]


async def test_server_gets_the_reports_since_its_last_look() -> None:
    board = Board()
    await board.report(REPORT)
    other = REPORT._replace(replica="other")
    await board.report(other)
    assert await board.since(1) == (2, [other])


async def test_server_that_waits_hears_at_once() -> None:
    board = Board()
    waiting = asyncio.ensure_future(board.since(0))
    await asyncio.sleep(0)
    await board.report(REPORT)
    assert await waiting == (1, [REPORT])


async def test_wait_without_news_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells the server that the cluster is there."""
    monkeypatch.setattr(subject, "_POLL", 0.01)
    assert await Board().since(0) == (0, [])


async def test_server_of_an_earlier_board_begins_anew() -> None:
    """An actor that is started again has forgotten its count."""
    board = Board()
    await board.report(REPORT)
    assert (await board.since(900))[1][0].replica == "r"


async def test_silent_replica_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    await board.report(REPORT)
    monkeypatch.setattr(subject, "EXPIRY", -1.0)
    assert await board.since(1) == (2, [Report("m", "r", None)])
