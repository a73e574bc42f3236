"""Which field is named where a request for scores does not fit the context."""

import pytest

from llm_inference_api.errors import ContextLengthError
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.request import GREEDY, GenerationRequest, TokenPrompt
from llm_inference_api.requests.scoring import Branch, Scoring
from llm_inference_api.worker.score_preparer import ScorePreparer
from tests.worker.test_preparer import preparer

LONG = "x" * 100
"""As many tokens as the context has."""


@pytest.mark.parametrize(
    ("prompt", "sent_in", "text", "field"),
    [
        (LONG, "", "a", "prompt"),
        (TokenPrompt((5,) * 100), "prompt_tokens", "a", "prompt_tokens"),
        ((Message("user", LONG),), "", "a", "messages"),
        ((Message("user", LONG),), "input", "a", "input"),
        ("x", "", LONG, "continuations"),
    ],
    ids=["text", "tokens", "chat", "state", "continuation"],
)
def test_field_that_is_too_long_is_named(
    prompt: str | TokenPrompt | tuple[Message, ...], sent_in: str, text: str, field: str
) -> None:
    """The prompt's where nothing fits behind it, else that of the text."""
    asked = GenerationRequest(
        "a", prompt, GREEDY, sent_in=sent_in, scoring=Scoring((Branch("continuations", (text,)),))
    )
    with pytest.raises(ContextLengthError) as found:
        ScorePreparer(preparer()).prepare(asked)
    assert found.value.field == field
