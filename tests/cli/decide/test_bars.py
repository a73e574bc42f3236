"""Answers to typed questions, as people see them."""

import pytest

from llm_inference.v1 import decisions_pb2
from llm_inference_api.cli.decide.bars import print_decisions


def test_lines_in_a_pipe_are_as_long_as_what_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Not as wide as a pipe may be, which a terminal that shows them later would break into many lines."""
    question = decisions_pb2.Question(instructions="Is it about money?", predicate=decisions_pb2.Predicate())
    answer = decisions_pb2.PredicateDecision(probability=0.25)
    print_decisions([question], [decisions_pb2.Decision(predicate=answer, coverage=0.5)])
    asked, yes, no, trust = capsys.readouterr().out.splitlines()
    assert asked == "Is it about money?"
    assert (yes.split()[0], yes.split()[-1]) == ("yes", "0.250")
    assert (no.split()[0], no.split()[-1]) == ("no", "0.750")
    assert trust.strip() == "coverage 0.500"
    assert max(map(len, (yes, no, trust))) < 50
