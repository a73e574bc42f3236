"""Which requests are suspects after crashes, on a clock of the test's."""

from dataclasses import replace

import pytest

from llm_inference_api.errors import PoisonRequestError
from llm_inference_api.models.suspects import MARK_SECONDS, Suspects
from llm_inference_api.requests.constraint import Constraint, Language
from llm_inference_api.requests.inquiry import Render, Tokenize
from llm_inference_api.requests.request import GenerationRequest, Sampling


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(prompt: str = "x", name: str = "a") -> GenerationRequest:
    return GenerationRequest(name, prompt, Sampling(seed=1, logit_bias={1: 2.0}))


def is_refused(suspects: Suspects, item: GenerationRequest) -> bool:
    try:
        suspects.includes(item)
    except PoisonRequestError:
        return True
    return False


def test_two_crashes_alone_refuse() -> None:
    """A first crash makes a suspect, a second one without company poison."""
    suspects = Suspects()
    suspects.crashed([ask()])
    assert suspects.includes(ask())
    assert not suspects.includes(ask("y"))
    suspects.crashed([ask()])
    assert is_refused(suspects, ask())


def test_crashes_in_company_do_not_refuse() -> None:
    """Nobody knows which of two it was, however often they are together."""
    suspects = Suspects()
    for _ in range(3):
        suspects.crashed([ask("x"), ask("y")])
    assert suspects.includes(ask("x"))


def test_content_counts_once_in_a_crash() -> None:
    """Ids, seeds, callers and numbers of answers make no other request."""
    suspects = Suspects()
    suspects.crashed([ask(), replace(ask(name="b"), sampling=replace(ask().sampling, seed=9), caller="c", n=3)])
    assert not is_refused(suspects, ask())
    suspects.crashed([replace(ask(), n=2)])
    assert is_refused(suspects, ask())


def test_other_constraint_is_another_request() -> None:
    """The same prompt under a costly grammar says nothing about the prompt."""
    suspects = Suspects()
    suspects.crashed([replace(ask(), constraint=Constraint(Language.REGEX, "a+", "regex"))])
    assert not suspects.includes(ask())


def test_mark_ends_with_an_answer() -> None:
    """Whatever was answered whole is cleared."""
    suspects = Suspects()
    suspects.crashed([ask()])
    suspects.answered(ask())
    assert not suspects
    suspects.crashed([ask()])
    assert not is_refused(suspects, ask())


def test_mark_ends_with_time() -> None:
    """A refusal is no life sentence, and says how long it is."""
    clock = Clock()
    suspects = Suspects(clock)
    for _ in range(2):
        suspects.crashed([ask()])
    with pytest.raises(PoisonRequestError, match="refused for 10 minutes"):
        suspects.includes(ask())
    clock.now += MARK_SECONDS
    assert not suspects.includes(ask())
    assert not suspects


def test_marks_are_bounded() -> None:
    """A flood of crashes does not fill the memory; the oldest are forgotten."""
    suspects = Suspects()
    for index in range(1100):
        suspects.crashed([ask(str(index))])
    assert len(suspects) == 1000
    assert not suspects.includes(ask("0"))
    assert suspects.includes(ask("1099"))


def test_inquiry_is_not_its_request() -> None:
    """Rendering, tokenizing and generating are computed in different places."""
    suspects = Suspects()
    suspects.crashed([Render(ask()), Tokenize("x", add_special=True, parse_special=True)])
    assert not suspects.includes(ask())
    assert suspects.includes(Render(ask(name="b")))
    assert suspects.includes(Tokenize("x", add_special=True, parse_special=True))
