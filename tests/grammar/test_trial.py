"""What a grammar may cost where it is tried."""

import json
import signal
import time

import pytest
from llguidance import LLMatcher

from llm_inference_api.grammar.trial import TooCostlyError, Trial
from tests.fakes.bombs import SCHEMAS
from tests.fakes.processor_time import children_cpu_time

COSTLY = LLMatcher.grammar_from_json_schema(json.loads(SCHEMAS["40 patterns of one text"]))
FINE = LLMatcher.grammar_from_regex("a+")


@pytest.fixture
def trial() -> Trial:
    trial = Trial(300, {299: b"<end>"})
    assert trial.problem(FINE) == ""
    return trial


def test_costly_grammar_is_given_up_in_time(trial: Trial) -> None:
    """What would take minutes and gigabytes ends within seconds, and those after it are tried as before."""
    before, process = children_cpu_time(), trial._child.process
    with pytest.raises(TooCostlyError):
        trial.problem(COSTLY)
    assert children_cpu_time() - before < 3
    # What others do on the machine does not count: the process was ended by its own processor time.
    assert process is not None
    assert process.returncode == -signal.SIGPROF
    assert trial.problem(LLMatcher.grammar_from_regex("b+")) == ""


def test_costly_grammar_is_tried_once(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who repeats it costs nothing more: the process is not even asked."""
    with pytest.raises(TooCostlyError):
        trial.problem(COSTLY)
    asked: list[str] = []
    monkeypatch.setattr(trial._child, "ask", asked.append)
    with pytest.raises(TooCostlyError):
        trial.problem(COSTLY)
    assert not asked


def test_refusal_does_not_last(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grammar that a machine at a standstill made late is tried again later."""
    with pytest.raises(TooCostlyError):
        trial.problem(COSTLY)
    tried: list[str] = []
    monkeypatch.setattr(trial._child, "ask", lambda grammar: tried.append(grammar) or ("", 0.1))
    after = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: after)
    assert trial.problem(COSTLY) == ""
    assert tried


def test_problem_is_what_llguidance_says(trial: Trial) -> None:
    """A grammar without sense is told from one that is fine."""
    assert "unknown_rule" in trial.problem(LLMatcher.grammar_from_lark("start: unknown_rule"))


def test_special_tokens_may_be_named(trial: Trial) -> None:
    """Grammars name tokens by their ids and by their texts, as far as the vocabulary has them."""
    assert trial.problem(LLMatcher.grammar_from_lark('start: <[299]> <end> "a"')) == ""
    assert trial.problem(LLMatcher.grammar_from_lark("start: <[300]>"))


def test_process_that_is_gone_is_replaced(trial: Trial) -> None:
    """A process that something else ended costs a start, not an error."""
    trial.close()
    assert trial.problem(LLMatcher.grammar_from_regex("c+")) == ""
