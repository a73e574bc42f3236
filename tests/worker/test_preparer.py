from dataclasses import dataclass, field, replace

import pytest

from llm_inference_api.errors import ContextLengthError, InvalidFieldError
from llm_inference_api.requests import sizes
from llm_inference_api.requests.chat import Ending, Message
from llm_inference_api.requests.request import GenerationRequest, Sampling, Stopping, TokenPrompt
from llm_inference_api.text.chat_template import ChatTemplate
from llm_inference_api.text.pairs import Pair
from llm_inference_api.text.text_preparation import TextPreparation
from llm_inference_api.text.tokenizer import Infill, SpecialTokens
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


def test_max_tokens_that_do_not_fit_are_lowered_to_the_room_that_is_left() -> None:
    """A request gets what is possible, whatever it asks for."""
    assert preparer().prepare(request("x" * 95, max_tokens=6))[0].max_tokens == 5
    assert preparer().prepare(request("x" * 95, max_tokens=4))[0].max_tokens == 4


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


_THINKING = (
    "{% for message in messages %}{{ message.role[0] + message.content + '|' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'a<think></think>' }}{% endif %}"
)


@pytest.mark.parametrize(
    ("template", "prompt", "settled"),
    [
        (_THINKING, (Message("user", "who?"),), len("uwho?|")),
        (_THINKING + "{% if not add_generation_prompt %}{{ raise_exception('no') }}{% endif %}", None, 0),
        (None, "some text", 0),
    ],
)
def test_prompt_is_settled_up_to_what_begins_the_answer(
    template: str | None, prompt: str | tuple[Message, ...] | None, settled: int
) -> None:
    """Where that is known."""
    asking = replace(preparer(template=template), settles=True)
    (sequence,) = asking.prepare(request(prompt or (Message("user", "who?"),)))
    assert sequence.settled == settled


def test_prompt_as_long_as_the_context_is_refused() -> None:
    """A prompt needs room for one token of answer."""
    with pytest.raises(ContextLengthError, match=r"has 100 tokens, and this model's .* length is 100 tokens"):
        preparer().prepare(request("x" * 100))


@pytest.mark.parametrize("length", [100, 1000])
def test_error_names_the_field_that_is_too_long(length: int) -> None:
    """A prompt, one of several, or the messages; counted or estimated."""
    text = "x" * length
    several = replace(request(text), place=3)
    for asked, name in (
        (request(text), "prompt"),
        (several, "prompt[3]"),
        (request((Message("user", text),)), "messages"),
    ):
        with pytest.raises(ContextLengthError) as found:
            preparer().prepare(asked)
        assert found.value.field == name


def test_empty_prompt_is_the_token_that_begins_a_text() -> None:
    """The model writes what it likes; one without such a token needs a word."""
    special = SpecialTokens(start=(7,))
    assert replace(preparer(), special=special).prepare(request(""))[0].tokens == [7]
    with pytest.raises(InvalidFieldError, match=r"^prompt: has no tokens"):
        preparer().prepare(request(""))


def test_token_ids_are_taken_as_they_are() -> None:
    """Nothing is added to them; unknown ones are refused by the prompt's name."""
    tokens = preparer().prepare(GenerationRequest("a", TokenPrompt((5, 6)), Sampling(0)))[0].tokens
    assert tokens == [5, 6]
    with pytest.raises(InvalidFieldError, match=r"^prompt\[1\]: token 1200000 is not in the model's vocabulary"):
        preparer().prepare(GenerationRequest("a", TokenPrompt((5, 1200000)), Sampling(0), place=1))


def test_suffix_makes_a_prompt_of_the_infill_tokens() -> None:
    """Prefix, suffix, middle: the model writes what stands between; what the texts spell stays text."""
    infill = replace(preparer(), special=SpecialTokens(Infill(1, 2, 3)))
    asked = replace(request("ab"), suffix="cd")
    assert infill.prepare(asked)[0].tokens == [1, *map(ord, "ab"), 2, *map(ord, "cd"), 3]
    assert infill.prepare(replace(asked, prompt=""))[0].tokens == [1, 2, *map(ord, "cd"), 3]


def test_suffix_is_refused_where_it_means_nothing() -> None:
    """By models that were not trained for it, and beside token ids."""
    with pytest.raises(InvalidFieldError, match=r"^suffix: this model has no tokens for filling in the middle"):
        preparer().prepare(replace(request("ab"), suffix="cd"))
    infill = replace(preparer(), special=SpecialTokens(Infill(1, 2, 3)))
    with pytest.raises(InvalidFieldError, match=r"^suffix: needs a prompt of text"):
        infill.prepare(GenerationRequest("a", TokenPrompt((5,)), Sampling(0), suffix="cd"))


def test_bias_of_a_text_is_that_of_its_tokens() -> None:
    """Where a token is named by its id too, that one counts."""
    asked = request("hi", logit_bias={ord("b"): 5.0}, logit_bias_texts={"ab": -1.0})
    assert preparer().prepare(asked)[0].request.sampling.logit_bias == {ord("a"): -1.0, ord("b"): 5.0}


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
    assert tokenizer.calls[0] == ("hi", True)


def test_rendered_chat_gets_no_second_beginning() -> None:
    """The template writes the beginning of the text itself; a fallback chat gets the model's."""
    own, fallback = CharacterTokenizer(), CharacterTokenizer()
    chat = (Message("user", "hi"),)
    preparer(own, "{{ messages[0].content }}").prepare(request(chat))
    preparer(fallback).prepare(request(chat))
    assert own.calls[0] == ("hi", False)
    assert fallback.calls[0] == ("user: hi\nassistant: ", True)


class SurroundingTokenizer(CharacterTokenizer):
    """Puts a token before and another one after each text, as its file asks."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        found = super().tokenize(text, add_special=add_special, parse_special=parse_special)
        return [ord("^"), *found, ord("$")] if add_special else found


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ messages[0].content }}", "^hi$"),
        ("^{{ messages[0].content }}", "^hi$"),
        ("^{{ messages[0].content }}$", "^hi$"),
    ],
)
def test_chat_has_the_tokens_around_it_that_the_file_asks_for(template: str, expected: str) -> None:
    """They are added unless the template has written them, as llama.cpp does."""
    (sequence,) = preparer(SurroundingTokenizer(), template).prepare(request((Message("user", "hi"),)))
    assert "".join(map(chr, sequence.tokens)) == expected


@pytest.mark.parametrize("prompt", ["hi", "^hi", "hi$", "^hi$"])
def test_raw_prompt_has_them_once(prompt: str) -> None:
    """Prompts that are copied from elsewhere spell them."""
    (sequence,) = preparer(SurroundingTokenizer()).prepare(request(prompt))
    assert "".join(map(chr, sequence.tokens)) == "^hi$"


def test_content_that_spells_them_keeps_its_own() -> None:
    """There they are text."""
    tokens = preparer(SurroundingTokenizer()).tokenize("^hi", add_special=True, parse_special=False)
    assert "".join(map(chr, tokens)) == "^^hi$"


def test_no_end_follows_a_message_that_is_continued() -> None:
    """The model would begin something else."""
    chat = (Message("user", "hi"), Message("assistant", "ho"))
    continued = replace(request(chat), ending=Ending.CONTINUE)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (sequence,) = preparer(SurroundingTokenizer(), template).prepare(continued)
    assert "".join(map(chr, sequence.tokens)) == "^hiho"


def test_logit_bias_of_an_unknown_token_is_refused() -> None:
    """Token ids are checked against the vocabulary: llama.cpp would abort on them."""
    with pytest.raises(InvalidFieldError, match="logit_bias: token 1200000"):
        preparer().prepare(request("hi", logit_bias={1200000: 1.0}))


def test_time_in_the_queue_counts_from_the_arrival() -> None:
    """What waits to be prepared waits."""
    assert preparer().prepare(request("hi"), arrived_at=12.5)[0].submitted_at == 12.5


class Joined:
    """A tokenizer that keeps the texts that it is given."""

    def pair(self, first: str, second: str) -> Pair:
        self.texts = (first, second)
        return Pair([0], 1)


def test_texts_of_a_pair_are_content() -> None:
    """What a document spells is no control token: white space around it stays, and so does the space before it."""
    preparation, joined = TextPreparation(space="first", strips_left=("</s>",), controls=("</s>",)), Joined()
    replace(preparer(), preparation=preparation).pair(joined, "a  </s>", "</s> b")
    assert joined.texts == (" a  </s>", " </s> b")
