from collections.abc import Sequence
from typing import Any

import pytest

from llm_inference_api.engine.output import OutputText
from llm_inference_api.engine.thinking_budget import BudgetedSampler
from llm_inference_api.requests.events import TokenLogprob
from llm_inference_api.requests.tools import Tool, ToolUse
from llm_inference_api.text.families.form import GENERIC, Form, MarkedBlock
from llm_inference_api.text.families.reading.answer_reader import answer_reader
from llm_inference_api.text.families.thoughts import Thoughts

USE = ToolUse((Tool("f", "", "{}"),))
CHANNELS = Form(
    "channels",
    GENERIC.calls,
    (MarkedBlock("<|channel|>analysis<|message|>", "<|end|>"),),
    (MarkedBlock("<|channel|>final<|message|>", ""),),
    between="<|start|>assistant",
)


class Scripted:
    """A sampler that chooses the bytes of a text; a mask may refuse some of those that it is given."""

    def __init__(self, script: bytes, refused: Sequence[int] = ()) -> None:
        self._script = iter(script)
        self._refused = refused
        self.given = bytearray()

    def sample(self, row: int) -> int:
        return next(self._script)

    def accept(self, token: int) -> bool:
        if token in self._refused:
            return False
        self.given.append(token)
        return True

    def is_ready(self) -> bool:
        return True

    def keep(self, row: int) -> None:
        raise NotImplementedError

    def logprob(self, row: int, token: int, top: int) -> TokenLogprob:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def written(script: str | bytes, budget: int, form: Form = GENERIC, **how: Any) -> tuple[str, str, int]:
    """Returns thoughts and content of an answer whose tokens are bytes, and the number of tokens of thoughts."""
    given = script if isinstance(script, bytes) else script.encode()
    output = OutputText((), reader=answer_reader(form, how.get("use"), how.get("thoughts", Thoughts.BEFORE)))
    sampler = BudgetedSampler(Scripted(given, how.get("refused", ())), output, budget, str.encode)
    thought, text = "", ""
    while True:
        try:
            token = sampler.sample(0)
        except StopIteration:
            said = output.add(b"", final=True)
            return thought + said.thought, text + said.text, output.thought_tokens
        said = output.add(bytes([token]))
        thought, text = thought + said.thought, text + said.text


@pytest.mark.parametrize(("budget", "thought"), [(0, ""), (1, "a"), (3, "abc"), (4, "abcd"), (100, "abcd")])
def test_thoughts_are_closed_at_their_budget(budget: int, thought: str) -> None:
    """The model goes on behind the marker, with whatever it chooses next; its own marker is left alone."""
    script = "<think>abcd</think>Yes." if budget > 4 else f"<think>{thought}Yes."
    assert written(script, budget)[:2] == (thought, "Yes.")


def test_thoughts_that_the_prompt_opens_are_counted_from_the_first_token() -> None:
    """A budget of 0 closes them before any."""
    assert written("Yes.", 0, thoughts=Thoughts.OPENED) == ("", "Yes.", len("</think>"))
    assert written("abYes.", 2, thoughts=Thoughts.INSIDE) == ("ab", "Yes.", 2 + len("</think>"))


def test_an_answer_without_thoughts_is_left_alone() -> None:
    """A budget limits thoughts, not the content."""
    assert written("Yes, <think> is a marker.", 0)[1] == "Yes, <think> is a marker."
    assert written("Yes.", 0, thoughts=Thoughts.CLOSED) == ("", "Yes.", 0)


def test_a_marker_that_has_begun_is_completed() -> None:
    """The model's own beginning of the marker is not repeated."""
    assert written("<think>ab</thYes.", 6) == ("ab", "Yes.", 2 + len("<think></think>"))


def test_thoughts_are_not_closed_inside_a_character() -> None:
    """A character that has begun is completed, so that the text stays valid."""
    assert written("<think>ä日Yes.", 3)[:2] == ("ä日", "Yes.")


def test_a_character_that_never_completes_does_not_keep_thoughts_open() -> None:
    """Beginnings of characters are waited for three times."""
    thought, text, _ = written(b"<think>" + b"\xe6" * 5 + b"Yes.", 2)
    assert (thought.strip("\ufffd"), text) == ("", "Yes.")


def test_thoughts_that_open_again_are_closed_at_once() -> None:
    """The budget is that of the whole answer."""
    assert written("<think>ab<think>Yes.", 2)[:2] == ("ab", "Yes.")


def test_the_budget_closes_the_forms_own_thoughts() -> None:
    """The marker is that of the thoughts that are open, and the model opens the content itself."""
    script = "<|channel|>analysis<|message|>abc<|start|>assistant<|channel|>final<|message|>Yes."
    assert written(script, 3, CHANNELS)[:2] == ("abc", "Yes.")


def test_thoughts_without_a_closing_end_with_the_contents_opening() -> None:
    """A form that only opens blocks goes on with its content."""
    form = Form("words", GENERIC.calls, (MarkedBlock("[THOUGHTS]", ""),), (MarkedBlock("[ANSWER]", ""),))
    assert written("[THOUGHTS]abcYes.", 3, form)[:2] == ("abc", "Yes.")


def test_a_marker_that_the_mask_forbids_is_not_forced() -> None:
    """The thoughts go on, and are closed where it is allowed: here, behind the marker's first character."""
    assert written("<think>abc<Yes.", 1, refused=b"<")[:2] == ("abc", "Yes.")


def test_calls_behind_closed_thoughts_are_read() -> None:
    """Closing thoughts changes nothing of what follows."""
    thought, text, _ = written('<think>ab<tool_call>{"name": "f", "arguments": {}}</tool_call>', 2, use=USE)
    assert (thought, text) == ("ab", "")


@pytest.mark.parametrize(
    ("text", "thoughts", "count"),
    [
        ("Yes.", Thoughts.BEFORE, 0),
        ("<think></think>Yes.", Thoughts.BEFORE, 15),
        ("<think>ab</think>\n\nYes.", Thoughts.BEFORE, 17),
        ("\n<think>ab</think>Yes.", Thoughts.BEFORE, 17),
        ("<think>ab", Thoughts.BEFORE, 9),
        ("ab</think>Yes.", Thoughts.OPENED, 10),
        ("<think>ä</think>Yes.", Thoughts.BEFORE, 17),
        ("<think>a</think>Yes <think> no.", Thoughts.BEFORE, 16),
        ('<think>ab<tool_call>{"name": "f", "arguments": {}}</tool_call>', Thoughts.BEFORE, 9),
    ],
)
def test_tokens_of_thoughts_are_those_of_their_text_and_markers(text: str, thoughts: Thoughts, count: int) -> None:
    """Here a token is a byte; line breaks behind the thoughts are none of theirs."""
    output = OutputText((), reader=answer_reader(GENERIC, USE, thoughts))
    for byte in text.encode():
        output.add(bytes([byte]))
    output.add(b"", final=True)
    assert output.thought_tokens == count
