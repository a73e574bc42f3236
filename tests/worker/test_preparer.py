from dataclasses import dataclass, field, replace

import pytest

from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests import sizes
from llm_inference_api.requests.chat import Message
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping
from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.text_preparation import TextPreparation
from llm_inference_api.worker.preparer import Preparer
from tests.fakes.backend import FakeBackend


@dataclass
class CharacterTokenizer:
    """A token for each character."""

    size: int = 0x110000
    longest_piece: int = 4
    calls: list[tuple[str, bool]] = field(default_factory=list)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.calls.append((text, add_special))
        return [ord(character) for character in text]


def preparer(tokenizer: CharacterTokenizer | None = None, template: str | None = None) -> Preparer:
    chat_template = ChatTemplate(template, "", "", ["<|end|>"])
    return Preparer(
        tokenizer or CharacterTokenizer(), chat_template, FakeBackend(), TextPreparation(), 100, default_max_tokens=20
    )


def request(prompt: str | tuple[Message, ...], max_tokens: int | None = None, **sampling: object) -> GenerationRequest:
    return GenerationRequest("a", prompt, Sampling(seed=0, **sampling), Stopping(max_tokens))  # type: ignore[arg-type]


def test_default_max_tokens_shrinks_to_the_room_that_is_left() -> None:
    """A request that names no max_tokens gets the default, or what the context leaves."""
    assert preparer().prepare(request("x" * 10))[0].max_tokens == 20
    assert preparer().prepare(request("x" * 95))[0].max_tokens == 5


def test_max_tokens_that_do_not_fit_are_refused() -> None:
    """A request that asks for more than fits learns both numbers instead of getting less."""
    with pytest.raises(ContextLengthError, match=r"95 tokens and max_tokens is 6, .* is 100 tokens"):
        preparer().prepare(request("x" * 95, max_tokens=6))


@pytest.mark.parametrize(("n", "max_tokens", "top"), [(10, 50, 0), (5, 50, 1), (1, None, 24)])
def test_log_probabilities_that_fit_no_response_are_refused_beforehand(
    monkeypatch: pytest.MonkeyPatch, n: int, max_tokens: int | None, top: int
) -> None:
    """By what the answers may have at most; streams, and requests without log probabilities, have no such limit."""
    monkeypatch.setattr(sizes, "MAX_LOGPROBS", 499)
    asked = replace(request("x", max_tokens, logprobs=top), n=n, is_whole=True)
    with pytest.raises(InvalidFieldError, match=r"top_logprobs: .* is 500; at most 499 are sent") as refused:
        preparer().prepare(asked)
    assert refused.value.field == "top_logprobs"
    preparer().prepare(replace(asked, is_whole=False))
    preparer().prepare(replace(asked, sampling=Sampling(seed=0)))
    monkeypatch.setattr(sizes, "MAX_LOGPROBS", 500)
    preparer().prepare(asked)


def test_prompt_as_long_as_the_context_is_refused() -> None:
    """A prompt needs room for one token of answer."""
    with pytest.raises(ContextLengthError, match=r"has 100 tokens, and this model's .* length is 100 tokens"):
        preparer().prepare(request("x" * 100))


def test_hopeless_prompt_is_refused_without_tokenising() -> None:
    """Text that cannot fit, whatever its tokens, costs no time."""
    tokenizer = CharacterTokenizer()
    with pytest.raises(ContextLengthError, match="at least 250 tokens"):
        preparer(tokenizer).prepare(request("x" * 1000))
    assert tokenizer.calls == []


def test_raw_prompt_gets_the_models_own_tokens_around_it() -> None:
    """A prompt is tokenised as the model wants texts to begin."""
    tokenizer = CharacterTokenizer()
    preparer(tokenizer).prepare(request("hi"))
    assert tokenizer.calls == [("hi", True)]


def test_rendered_chat_gets_no_second_beginning() -> None:
    """The template writes the beginning of the text itself; a fallback chat gets the model's."""
    own, fallback = CharacterTokenizer(), CharacterTokenizer()
    chat = (Message("user", "hi"),)
    preparer(own, "{{ messages[0].content }}").prepare(request(chat))
    preparer(fallback).prepare(request(chat))
    assert own.calls == [("hi", False)]
    assert fallback.calls == [("user: hi\nassistant: ", True)]


def test_logit_bias_of_an_unknown_token_is_refused() -> None:
    """Token ids are checked against the vocabulary: llama.cpp would abort on them."""
    with pytest.raises(InvalidFieldError, match="logit_bias: token 1200000"):
        preparer().prepare(request("hi", logit_bias={1200000: 1.0}))


def test_time_in_the_queue_counts_from_the_arrival() -> None:
    """What waits to be prepared waits."""
    assert preparer().prepare(request("hi"), arrived_at=12.5)[0].submitted_at == 12.5
