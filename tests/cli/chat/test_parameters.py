"""Parameters that a person may set."""

import re
from typing import Any

import pytest

from llm_inference_api.cli.chat.parameters import FIELDS, ChatError, checked, parameter_name, parameter_value


def test_parameters_are_those_of_the_contract() -> None:
    """Every optional scalar of a chat, and `stop`; no messages, tools or constraints."""
    assert {"temperature", "max_tokens", "top_k", "seed", "stop", "ignore_eos", "repetition_penalty"} <= FIELDS.keys()
    assert not {"messages", "model", "tools", "json_schema", "logprobs", "n"} & FIELDS.keys()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0.2", 0.2),
        ("top-k", "40", 40),
        ("ignore_eos", "yes", True),
        ("stop", "two words", ["two words"]),
    ],
)
def test_values_have_their_types(name: str, text: str, value: Any) -> None:
    """As the contract says."""
    assert parameter_value(parameter_name(name), text) == value


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("temprature", "do you mean temperature?"),
        ("temp", "do you mean temperature?"),
        ("mirostat_", "do you mean mirostat_eta or mirostat_tau?"),
        ("xyz", "there are add_generation_prompt, "),
    ],
)
def test_word_that_is_no_parameter_is_told_what_it_may_mean(word: str, hint: str) -> None:
    """The begin of a name, or what is near one."""
    with pytest.raises(ChatError, match=f"{word} is no parameter; {re.escape(hint)}"):
        parameter_name(word)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("temperature", "hot", "temperature is a number, not 'hot'"),
        ("max_tokens", "1.5", "max_tokens is a whole number, not '1.5'"),
        ("max_tokens", "99999999999", "max_tokens cannot be as small or as large as 99999999999"),
        ("seed", "-1", "seed cannot be as small or as large as -1"),
        ("ignore_eos", "maybe", "ignore_eos is true or false, not 'maybe'"),
    ],
)
def test_other_values_are_refused(name: str, text: str, problem: str) -> None:
    """With what would be right."""
    with pytest.raises(ChatError, match=problem):
        parameter_value(name, text)


@pytest.mark.parametrize("value", [{"temperature": "hot"}, {"max_tokens": -1}, {"nonsense": 1}, {"stop": 1}])
def test_parameters_of_a_file_are_checked(value: dict[str, Any]) -> None:
    """A file may hold anything."""
    with pytest.raises(ChatError):
        checked(value)
